/* SPDX-License-Identifier: Apache-2.0 */
#include "newest_frame.h"

#include <stdlib.h>
#include <string.h>

void tool_newest_frame_offer(tool_newest_frame *newest, const tool_frame_cutter *cutter)
{
    uint8_t *copy = cutter->too_large ? NULL : malloc(cutter->size);
    if (copy)
        memcpy(copy, cutter->data, cutter->size);
    pthread_mutex_lock(&newest->lock);
    if (cutter->too_large)
        newest->too_large++;
    else if (newest->data || !copy)
        newest->dropped++;
    if (copy) {
        free(newest->data);
        newest->data = copy;
        newest->size = cutter->size;
        newest->number = cutter->number;
    }
    pthread_cond_signal(&newest->changed);
    pthread_mutex_unlock(&newest->lock);
}

void tool_newest_frame_end(tool_newest_frame *newest)
{
    pthread_mutex_lock(&newest->lock);
    newest->ended = true;
    pthread_cond_signal(&newest->changed);
    pthread_mutex_unlock(&newest->lock);
}

bool tool_newest_frame_take(tool_newest_frame *newest, tool_taken_frame *taken)
{
    pthread_mutex_lock(&newest->lock);
    while (!newest->data && !newest->ended)
        pthread_cond_wait(&newest->changed, &newest->lock);
    *taken = (tool_taken_frame){newest->data, newest->size, newest->number, newest->dropped};
    newest->data = NULL;
    newest->dropped = 0;
    pthread_mutex_unlock(&newest->lock);
    return taken->data != NULL;
}
