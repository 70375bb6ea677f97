/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptions of devices, for the files of this folder and the tests. */
#ifndef LUTRA_PROFILE_DEVICE_H
#define LUTRA_PROFILE_DEVICE_H

#include "format/json.h"
#include "profile/meter.h"

#define LUTRA_MAX_CORES 4096 /* of a description, and sharing a cache */

/* What predictions take where nothing was calibrated. */
extern const lutra_efficiency lutra_default_efficiency;

/* `json` as lutra_device_read takes it. Where it does not, `refusal` is the status. `path` is for messages.
 */
lutra_status lutra_device_of_json(const json_t *json, const char *path, lutra_status refusal,
                                  lutra_device *device, lutra_error *error);

/* lutra_device_look in another world, with the caches of `cpu`. */
void lutra_device_look_in(const lutra_world *world, size_t cpu, lutra_device *device);

#endif
