/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Datagrams in a stream of bytes. However the bytes are cut on the way, the same datagrams come
 * out, and what is no frame is found out at the same place. Input: where to cut, 1; the bytes.
 */

#include "core/wire/stream-frame.h"
#include "fuzz.h"

/* Return: where the stream is not understood any more, or ends. */
static size_t walk(const uint8_t *data, size_t len, StreamFrame *ret_verdict, unsigned *ret_n) {
        size_t at = 0, n = 0;

        *ret_n = 0;
        while ((*ret_verdict = stream_frame_next(data + at, len - at, &n)) == STREAM_FRAME_WHOLE) {
                FUZZ_ASSERT(n >= STREAM_FRAME_MIN && n <= STREAM_FRAME_MAX);
                FUZZ_ASSERT(at + STREAM_HEADER_SIZE + n <= len);
                at += STREAM_HEADER_SIZE + n;
                (*ret_n)++;
        }
        return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        StreamFrame whole, first, second;
        unsigned n, n_first, n_second;
        size_t cut, end, before;

        if (size < 1)
                return 0;
        cut = data[0] * (size - 1) / 255;
        data++;
        size--;
        end = walk(data, size, &whole, &n);
        before = walk(data, cut, &first, &n_first);
        FUZZ_ASSERT(before <= end);
        /* What was refused with less is refused with more. */
        FUZZ_ASSERT(first != STREAM_FRAME_BAD || (whole == STREAM_FRAME_BAD && before == end));
        FUZZ_ASSERT(before + walk(data + before, size - before, &second, &n_second) == end);
        FUZZ_ASSERT(second == whole && n_first + n_second == n);
        return 0;
}
