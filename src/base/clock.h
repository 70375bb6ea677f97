/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LUTRA_BASE_CLOCK_H
#define LUTRA_BASE_CLOCK_H

/* Seconds of a clock that only goes forward; from one call to the next, not since any date. */
double lutra_seconds(void);

#endif
