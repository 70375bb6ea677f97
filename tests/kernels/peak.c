/* SPDX-License-Identifier: Apache-2.0 */
#include "profile/peak.h"

#include "harness.h"

double measure_peak(const char *level, lutra_mode mode)
{
    lutra_peak peak;
    return lutra_peak_of(level, mode, &peak) ? peak.macs / time_call(peak.run, NULL, 1) * 1e-9 : 0;
}
