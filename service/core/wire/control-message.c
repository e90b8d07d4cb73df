/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/macros.h"
#include "base/wiped.h"
#include "core/wire/control.h"

/* docs/protocol.md, "Messages". */
#define REQUEST_ID_OFFSET 1U
#define NAME_LEN_OFFSET 5U
#define NAME_OFFSET 6U
static_assert(NAME_OFFSET + CHANNEL_NAME_MAX == CONTROL_HEADER_MAX, "the longest name");

static bool name_is_valid(const char *name, size_t n) {
        if (n == 0 || n > CHANNEL_NAME_MAX)
                return false;
        for (size_t i = 0; i < n; i++)
                if (!g_ascii_isalnum(name[i]) && (name[i] == '\0' || !strchr("_-:.", name[i])))
                        return false;
        return true;
}

bool channel_name_is_valid(const char *name) {
        return name_is_valid(name, strnlen(name, CHANNEL_NAME_MAX + 1));
}

/* Everything the layout itself cannot express. */
static bool is_consistent(const ControlMessage *m) {
        switch (m->kind) {
        case CONTROL_DATA:
                return channel_name_is_valid(m->channel) && m->request_id == 0;
        case CONTROL_REQUEST:
                return channel_name_is_valid(m->channel);
        case CONTROL_RESPONSE:
        case CONTROL_ERROR: /* any payload: wire_error_from_name() judges it */
                return m->channel[0] == '\0';
        }
        return false;
}

GBytes *control_message_encode(const ControlMessage *m) {
        uint8_t head[NAME_OFFSET];
        size_t name_len, len;
        GByteArray *out;

        if (!is_consistent(m) || m->payload_len > CONTROL_MESSAGE_MAX)
                return NULL;
        name_len = strlen(m->channel);
        len = NAME_OFFSET + name_len + m->payload_len;
        if (len > CONTROL_MESSAGE_MAX)
                return NULL;
        head[0] = (uint8_t) m->kind;
        write_le32(head + REQUEST_ID_OFFSET, m->request_id);
        head[NAME_LEN_OFFSET] = (uint8_t) name_len;
        out = wiped_new();
        wiped_append(&out, head, sizeof head);
        wiped_append(&out, m->channel, name_len);
        wiped_append(&out, m->payload, m->payload_len);
        return wiped_to_bytes(out);
}

int control_message_decode(const uint8_t *buf, size_t len, ControlMessage *ret) {
        ControlMessage m = {};
        size_t name_len;

        if (len < NAME_OFFSET || len > CONTROL_MESSAGE_MAX || buf[0] > CONTROL_ERROR)
                return -EBADMSG;
        name_len = buf[NAME_LEN_OFFSET];
        if (name_len > CHANNEL_NAME_MAX || len - NAME_OFFSET < name_len)
                return -EBADMSG;
        /* A NUL would hide what follows it. */
        if (name_len > 0 && !name_is_valid((const char *) buf + NAME_OFFSET, name_len))
                return -EBADMSG;
        m.kind = (MessageKind) buf[0];
        m.request_id = read_le32(buf + REQUEST_ID_OFFSET);
        memcpy(m.channel, buf + NAME_OFFSET, name_len);
        m.payload = buf + NAME_OFFSET + name_len;
        m.payload_len = len - NAME_OFFSET - name_len;
        if (!is_consistent(&m))
                return -EBADMSG;
        *ret = m;
        return 0;
}
