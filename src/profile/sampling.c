/* SPDX-License-Identifier: Apache-2.0 */
/* Calls something again and again, on a thread of its own. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/memory.h"
#include "profile/meter.h"

struct lutra_sampling {
    double seconds;
    void (*sample)(void *argument);
    void *argument;
    pthread_t thread;
    atomic_bool ended;
};

static void *sample_until_ended(void *argument)
{
    lutra_sampling *s = argument;
    while (!atomic_load(&s->ended)) {
        lutra_real_world.wait(NULL, s->seconds);
        s->sample(s->argument);
    }
    return NULL;
}

/* Like the workers of a pool, the thread takes no signals: the program's own threads wait for them. */
lutra_status lutra_begin_sampling(void *user, double seconds, void (*sample)(void *argument), void *argument,
                                  lutra_sampling **sampling, lutra_error *error)
{
    sigset_t all, before;
    lutra_sampling *s = NULL;
    const lutra_status status = lutra_allocate(1, sizeof *s, "a meter's thread", &s, error);
    (void)user;
    *sampling = NULL;
    if (status)
        return status;
    s->seconds = seconds;
    s->sample = sample;
    s->argument = argument;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    const int failure = pthread_create(&s->thread, NULL, sample_until_ended, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure) {
        free(s);
        return lutra_fail(error, LUTRA_ERROR_MEMORY, NULL, LUTRA_NO_OFFSET,
                          "cannot start a thread that reads the meter (error %d)", failure);
    }
    *sampling = s;
    return LUTRA_OK;
}

void lutra_end_sampling(void *user, lutra_sampling *sampling)
{
    (void)user;
    atomic_store(&sampling->ended, true);
    pthread_join(sampling->thread, NULL);
    free(sampling);
}
