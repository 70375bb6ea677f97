/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol of lutra_measure_energy, for any work. For the files of this folder and the tests. */
#ifndef LUTRA_PROFILE_ENERGY_H
#define LUTRA_PROFILE_ENERGY_H

#include "profile/meter.h"

typedef struct lutra_load {
    void *user;
    lutra_status (*run)(void *user, lutra_error *error); /* a batch */
} lutra_load;

lutra_status lutra_measure_energy_in(const lutra_world *world, lutra_meter *meter, const lutra_load *load,
                                     const lutra_energy_options *options, lutra_energy *energy,
                                     lutra_error *error);

#endif
