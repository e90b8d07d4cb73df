/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Control messages and the bodies of all channels; the first byte says which. What is taken is
 * encoded again, and that must be stable: encode(decode(encode(x))) == encode(x). */
#include <string.h>

#include "core/wire/control.h"
#include "core/wire/error.h"
#include "fuzz.h"

/* Decodes, encodes, clears. Return: NULL if refused. */
typedef GBytes *(*Recode)(const uint8_t *buf, size_t len);

#define RECODE(name, Type, clear)                                                                  \
        static GBytes *recode_##name(const uint8_t *buf, size_t len) {                             \
                GBytes *bytes;                                                                     \
                Type v;                                                                            \
                                                                                                   \
                if (name##_decode(buf, len, &v) < 0)                                               \
                        return NULL;                                                               \
                bytes = name##_encode(&v);                                                         \
                FUZZ_ASSERT(bytes || len > CONTROL_PAYLOAD_MAX - 16);                              \
                clear(&v);                                                                         \
                return bytes;                                                                      \
        }

static void clear_nothing(void *v) {
}
static int gossip_decode(const uint8_t *buf, size_t len, GossipMessage *ret) {
        unsigned bad = 0;
        int r = gossip_message_decode(buf, len, ret, &bad);

        FUZZ_ASSERT(r < 0 || bad <= len);
        return r;
}
static GBytes *gossip_encode(const GossipMessage *m) {
        return gossip_message_encode(m);
}
/* Whatever an error says, it becomes one of ours and never "it worked". */
static void look_at_error(const ControlMessage *m) {
        WireError e;

        if (m->kind != CONTROL_ERROR)
                return;
        e = wire_error_from_name(m->payload, m->payload_len);
        FUZZ_ASSERT(wire_error_is_foreign(e));
        if (e != WIRE_ERROR_FAILED)
                FUZZ_ASSERT(strlen(wire_error_name(e)) == m->payload_len &&
                            memcmp(wire_error_name(e), m->payload, m->payload_len) == 0);
}
RECODE(control_message, ControlMessage, look_at_error)
RECODE(enrol_request, EnrolRequest, clear_nothing)
RECODE(enrol_response, EnrolResponse, enrol_response_clear)
RECODE(cert_response, CertResponse, cert_response_clear)
RECODE(dhcp_request, DhcpRequest, clear_nothing)
RECODE(dhcp_response, DhcpResponse, dhcp_response_clear)
RECODE(gossip, GossipMessage, gossip_message_clear)
RECODE(tunnel_request, TunnelRequest, clear_nothing)
RECODE(path_message, PathMessage, clear_nothing)
RECODE(relay_message, RelayMessage, clear_nothing)
RECODE(relay_response, RelayResponse, clear_nothing)

static const Recode recoders[] = {
        recode_control_message, recode_enrol_request, recode_enrol_response, recode_cert_response,
        recode_dhcp_request,    recode_dhcp_response, recode_gossip,         recode_tunnel_request,
        recode_path_message,    recode_relay_message, recode_relay_response,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        g_autoptr(GBytes) once = NULL, twice = NULL;
        Recode recode;

        if (size < 1)
                return 0;
        recode = recoders[data[0] % G_N_ELEMENTS(recoders)];
        once = recode(data + 1, size - 1);
        if (!once)
                return 0;
        /* A message has one encoding; a body may have been written less tersely. */
        if (recode == recode_control_message)
                FUZZ_ASSERT(g_bytes_get_size(once) == size - 1 &&
                            memcmp(g_bytes_get_data(once, NULL), data + 1, size - 1) == 0);
        twice = recode(g_bytes_get_data(once, NULL), g_bytes_get_size(once));
        FUZZ_ASSERT(twice && g_bytes_equal(once, twice));
        return 0;
}
