/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dataplane/tx-batch.h"

#include "base/macros.h"

/* The latest train with @key, if one more datagram of @len may go into it. */
static TxTrain *find_open(TxBatch *b, const void *key, const uint8_t *at, size_t len) {
        for (unsigned i = b->n; i-- > 0;) {
                TxTrain *t = &b->train[i];
                const struct iovec *last = &t->iov[t->n_iov - 1];

                if (t->key != key)
                        continue;
                if (len > t->segment || t->n == TX_SEGMENTS_MAX ||
                    t->len + len > TX_TRAIN_SIZE_MAX || t->len != (uint32_t) t->n * t->segment)
                        return NULL;
                if ((const uint8_t *) last->iov_base + last->iov_len != at && t->n_iov == TX_IOV_MAX)
                        return NULL;
                return t;
        }
        return NULL;
}

uint8_t *
tx_batch_append(TxBatch *b,
                const void *key,
                const Endpoint *to,
                const Endpoint *second,
                DropCounters *drops,
                bool single,
                size_t len) {
        uint8_t *at = b->buffer + b->used;
        struct iovec *last;
        TxTrain *t;

        if (len > TX_BUFFER_SIZE - b->used)
                return NULL;
        t = find_open(b, key, at, len);
        if (!t) {
                if (b->n == TX_TRAINS_MAX)
                        return NULL;
                t = &b->train[b->n++];
                t->key = key;
                t->to = *to;
                t->second = second ? *second : (Endpoint){};
                t->drops = drops;
                t->single = single;
                t->segment = (uint16_t) len;
                t->n = 0;
                t->len = 0;
                t->n_iov = 0;
        }
        last = t->n_iov > 0 ? &t->iov[t->n_iov - 1] : NULL;
        if (last && (uint8_t *) last->iov_base + last->iov_len == at)
                last->iov_len += len;
        else
                t->iov[t->n_iov++] = (struct iovec){ at, len };
        t->n++;
        t->len += (uint32_t) len;
        b->used += len;
        return at;
}

void tx_batch_turn_second(TxBatch *b) {
        unsigned n = 0;

        for (unsigned i = 0; i < b->n; i++) {
                TxTrain *t = &b->train[i];

                if (!endpoint_is_set(&t->second))
                        continue;
                t->to = t->second;
                t->second = (Endpoint){};
                if (i != n)
                        b->train[n] = *t;
                n++;
        }
        b->n = n;
}

bool tx_train_next(const TxTrain *t, TxCursor *c, struct iovec *ret) {
        const struct iovec *piece;
        size_t len;

        if (c->iov == t->n_iov)
                return false;
        piece = &t->iov[c->iov];
        /* A shorter datagram is the train's last, so it is at the end of the last piece. */
        len = MIN((size_t) t->segment, piece->iov_len - c->offset);
        *ret = (struct iovec){ (uint8_t *) piece->iov_base + c->offset, len };
        c->offset += len;
        if (c->offset == piece->iov_len) {
                c->iov++;
                c->offset = 0;
        }
        return true;
}
