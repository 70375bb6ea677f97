/* SPDX-License-Identifier: Apache-2.0 */
#include "profile/peak.h"

#include "harness.h"

static double measure(const char *level, lutra_mode mode)
{
    lutra_peak peak;
    return lutra_peak_of(level, mode, &peak) ? peak.macs / time_call(peak.run, NULL, 1) * 1e-9 : 0;
}

double measure_peak(const char *level)
{
    return measure(level, LUTRA_MODE_F32);
}

double measure_peak_i8(const char *level)
{
    return measure(level, LUTRA_MODE_INT8);
}
