/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/macros.h"
#include "core/crypto/kdf.h"
#include "core/mesh/directory/directory-internal.h"

static Record *visible(const Directory *d, const DirectoryMachine *m, RecordKind kind) {
        return kind == RECORD_LEASE ? directory_table_lease(&d->table, m) : m->record[kind];
}

Record *directory_get(const Directory *d, RecordKind kind, const MachineId *machine) {
        const DirectoryMachine *m = directory_table_find(&d->table, machine);

        return m ? visible(d, m, kind) : NULL;
}

Record *directory_lease_of_address(const Directory *d, const IpAddr *address) {
        const DirectoryMachine *m;

        if (address->family != AF_INET)
                return NULL;
        m = directory_table_holder(&d->table, ip_to_v4(address));
        return m ? m->record[RECORD_LEASE] : NULL;
}

bool directory_is_revoked(const Directory *d, const MachineId *machine) {
        MachineId twin = directory_twin(machine);

        return directory_get(d, RECORD_REVOCATION, machine) ||
               directory_get(d, RECORD_REVOCATION, &twin);
}

Record *directory_issuer(const Directory *d, const MachineId *signer) {
        Record *certificate = directory_certificate(d, signer);

        if (!certificate || !(certificate->body.certificate.roles & ROLE_ISSUER) ||
            !machine_id_equal(&certificate->signer, &d->network))
                return NULL;
        return certificate;
}

void directory_foreach(
                const Directory *d,
                RecordKind kind,
                void (*callback)(void *userdata, Record *record),
                void *userdata) {
        GTreeNode *next;

        for (GTreeNode *n = g_tree_node_first(d->table.machines); n; n = next) {
                Record *record = visible(d, g_tree_node_value(n), kind);

                next = g_tree_node_next(n);
                if (record)
                        callback(userdata, record);
        }
}

unsigned directory_count(const Directory *d, RecordKind kind) {
        return d->table.count[kind];
}

static int find_address(const Directory *d, const IpAddr *address, MachineId *ret) {
        const Record *lease = directory_lease_of_address(d, address);

        if (lease) {
                *ret = lease->body.machine;
                return 0;
        }
        if (address->family != AF_INET6)
                return -ENOENT;
        for (GTreeNode *n = g_tree_node_first(d->table.machines); n; n = g_tree_node_next(n)) {
                const DirectoryMachine *m = g_tree_node_value(n);
                IpAddr ula = ula_address(&d->network, &m->id);

                if (m->record[RECORD_CERTIFICATE] && ip_equal(&ula, address)) {
                        *ret = m->id;
                        return 0;
                }
        }
        return -ENOENT;
}

static int find_prefix(const Directory *d, const char *prefix, MachineId *ret) {
        const DirectoryMachine *found = NULL;

        if (strlen(prefix) > MACHINE_ID_TEXT_LEN)
                return -ENOENT;
        for (GTreeNode *n = g_tree_node_first(d->table.machines); n; n = g_tree_node_next(n)) {
                const DirectoryMachine *m = g_tree_node_value(n);

                if (!m->record[RECORD_CERTIFICATE] || !machine_id_has_prefix(&m->id, prefix))
                        continue;
                if (found)
                        return -ENOTUNIQ;
                found = m;
        }
        if (!found)
                return -ENOENT;
        *ret = found->id;
        return 0;
}

int directory_find(const Directory *d, const char *text, MachineId *ret) {
        g_autofree char *name = g_ascii_strdown(text, -1);
        const DirectoryMachine *m = directory_table_by_name(&d->table, name);
        IpAddr address;
        MachineId id;

        /* A name is what people mean, even if it looks like the beginning of some id. */
        if (m) {
                if (m->next_name)
                        return -ENOTUNIQ;
                *ret = m->id;
                return 0;
        }
        if (ip_parse(text, &address) >= 0)
                return find_address(d, &address, ret);
        if (machine_id_parse(text, &id) >= 0) {
                if (!directory_certificate(d, &id))
                        return -ENOENT;
                *ret = id;
                return 0;
        }
        return text[0] ? find_prefix(d, text, ret) : -ENOENT;
}

WallClock *directory_clock(const Directory *d) {
        return d->clock;
}

usec_t directory_next_version(Directory *d, RecordKind kind, const MachineId *machine) {
        const DirectoryMachine *m = directory_table_find(&d->table, machine);
        usec_t now = directory_realtime(d);

        /* Also later than a lease that is not shown; but no authority follows a time that a machine
         * has made up. */
        if (m && m->record[kind] && !trust_is_departure(m->record[kind]) &&
            m->record[kind]->body.version >= now)
                return usec_add(m->record[kind]->body.version, 1);
        return now;
}

Record *directory_by_hash(const Directory *d, uint64_t hash) {
        return directory_table_by_hash(&d->table, hash);
}

void directory_digest(const Directory *d, uint64_t ret[static 256]) {
        memcpy(ret, d->table.digest, sizeof(d->table.digest));
}

void directory_revocations(const Directory *d, uint64_t ret[static 32]) {
        memcpy(ret, d->table.revocations, sizeof(d->table.revocations));
}

void directory_foreach_in_bucket(
                const Directory *d,
                unsigned bucket,
                void (*callback)(void *userdata, Record *record),
                void *userdata) {
        MachineId first = { .bytes = { (uint8_t) bucket } };
        GTreeNode *n = g_tree_lower_bound(d->table.machines, &first);

        for (; n; n = g_tree_node_next(n)) {
                const DirectoryMachine *m = g_tree_node_value(n);

                if (m->id.bytes[0] != bucket)
                        return;
                for (RecordKind k = RECORD_CERTIFICATE; k < _RECORD_KIND_MAX; k++)
                        if (m->record[k])
                                callback(userdata, m->record[k]);
        }
}
