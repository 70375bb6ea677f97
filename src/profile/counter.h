/* SPDX-License-Identifier: Apache-2.0 */
/* The public counters of traffic, in another world than the real one; for the files of this folder and
 * tests. */
#ifndef LUTRA_PROFILE_COUNTER_H
#define LUTRA_PROFILE_COUNTER_H

#include "profile/meter.h"

lutra_status lutra_counter_open_in(const lutra_world *world, lutra_counter **counter, lutra_error *error);
lutra_status lutra_counter_open_memory_in(const lutra_world *world, lutra_counter **counter,
                                          lutra_error *error);

#endif
