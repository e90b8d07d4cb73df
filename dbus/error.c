/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/macros.h"
#include "dbus/client.h"
#include "dbus/names.h"

#define N_(text) text

/* First, so that client_error_text() has it at hand for names nobody knows. */
static const ClientErrorText error_texts[] = {
        { OMERTA_ERROR_FAILED, CLIENT_ERROR_FAILED, N_("It did not work."),
          N_("'journalctl -u omertad' may say more.") },
        { OMERTA_ERROR_NOT_JOINED, CLIENT_ERROR_NOT_FOUND, N_("This machine is in no network."),
          N_("Make one with 'omerta network create NAME', or ask for an invite and use it with "
             "'omerta network join LINK'.") },
        { OMERTA_ERROR_NO_SUCH_NETWORK, CLIENT_ERROR_NOT_FOUND, N_("There is no such network."),
          N_("'omerta network list' shows the names and ids of those there are.") },
        { OMERTA_ERROR_NO_SUCH_MACHINE, CLIENT_ERROR_NOT_FOUND, N_("There is no such machine."),
          N_("'omerta network peers' shows the members, 'omerta network pending' who asks to be "
             "let in.") },
        { OMERTA_ERROR_AMBIGUOUS, CLIENT_ERROR_NOT_FOUND, N_("More than one is meant."),
          N_("Give more characters of the id, or name the network with --network "
             "('omerta network list').") },
        { OMERTA_ERROR_ALREADY_MEMBER, CLIENT_ERROR_FAILED,
          N_("This machine is a member of that network already."),
          N_("See 'omerta network list'. To join anew, leave it first: 'omerta network "
             "leave'.") },
        { OMERTA_ERROR_NAME_TAKEN, CLIENT_ERROR_FAILED, N_("The name is taken."),
          N_("Choose another name; 'omerta network list' and 'omerta network peers' show those "
             "in use.") },
        { OMERTA_ERROR_INVALID_ARGUMENT, CLIENT_ERROR_ARGUMENT,
          N_("The daemon does not accept a value."),
          N_("The manual omerta(1) says what is "
             "possible.") },
        { OMERTA_ERROR_INVITE_INVALID, CLIENT_ERROR_FAILED, N_("This is no valid invite."),
          N_("Check that the link was copied whole; it may also have been deleted on the gateway. "
             "Ask for a new one.") },
        { OMERTA_ERROR_INVITE_EXPIRED, CLIENT_ERROR_FAILED, N_("The invite has expired."),
          N_("Ask for a new one ('omerta network invite' on the gateway).") },
        { OMERTA_ERROR_INVITE_USED, CLIENT_ERROR_FAILED, N_("The invite has been used up."),
          N_("Ask for a new one ('omerta network invite', with --uses for several machines).") },
        { OMERTA_ERROR_CLOCK_WRONG, CLIENT_ERROR_FAILED, N_("The gateway's clock cannot be right."),
          N_("Set it right (timedatectl, NTP). If it is right, and nobody is there who could confirm "
             "it: 'omerta network repair-time' on the gateway.") },
        { OMERTA_ERROR_ABSENT_TOO_LONG, CLIENT_ERROR_FAILED,
          N_("This machine was away for longer than the network allows."),
          N_("Leave the network ('omerta network leave') and join it again with a new invite.") },
        { OMERTA_ERROR_NO_SUCH_INVITE, CLIENT_ERROR_NOT_FOUND, N_("There is no such invite."),
          N_("'omerta network invites' shows those that can still be used.") },
        { OMERTA_ERROR_NOT_GATEWAY, CLIENT_ERROR_FAILED, N_("Only the network's gateway can do this."),
          N_("Run the command there; 'omerta network show' names it.") },
        { OMERTA_ERROR_POOL_EMPTY, CLIENT_ERROR_FAILED, N_("The network has no free address left."),
          N_("On the gateway, revoke machines that are gone ('omerta dhcp leases', 'omerta network "
             "revoke').") },
        { OMERTA_ERROR_NO_ADDRESS, CLIENT_ERROR_NOT_FOUND,
          N_("This machine has no address in the network yet."),
          N_("'omerta status' says what it waits for.") },
        { OMERTA_ERROR_TIMEOUT, CLIENT_ERROR_TIMEOUT, N_("No answer came in time."),
          N_("Check that the other machine runs and can be reached over UDP ('omerta network "
             "peers'), then try again.") },
        { OMERTA_ERROR_UNREACHABLE, CLIENT_ERROR_FAILED, N_("It cannot be reached."),
          N_("Check this machine's connection ('omerta status'), and that the gateway's UDP port "
             "(18002) is open. An invite made with --endpoint carries another address of it.") },
        { OMERTA_ERROR_REFUSED, CLIENT_ERROR_FAILED, N_("The machine refuses connections there."),
          N_("Check the port, and that the program behind it runs and listens on the virtual "
             "network's address.") },
        { OMERTA_ERROR_PORT_IN_USE, CLIENT_ERROR_FAILED, N_("The port is in use already."),
          N_("Take another, or 0 for any that is free; 'omerta forwards' shows the forwards there "
             "are.") },
        { OMERTA_ERROR_NOT_PERMITTED, CLIENT_ERROR_DENIED, N_("This is not permitted."),
          N_("See the command's entry in omerta(1) for what it needs.") },
        { OMERTA_ERROR_NOT_SUPPORTED, CLIENT_ERROR_FAILED, N_("The running omertad cannot do this."),
          N_("'omerta nc', 'omerta ssh' and the proxy of omertad(8) work with every omertad.") },
        { OMERTA_ERROR_INTERFACE_UNAVAILABLE, CLIENT_ERROR_FAILED,
          N_("The network interface cannot be made."),
          N_("omertad needs /dev/net/tun ('modprobe tun') and CAP_NET_ADMIN; with --user see --netstack in omertad(8).") },
        { OMERTA_ERROR_SUBNET_REFUSED, CLIENT_ERROR_FAILED,
          N_("The network's addresses cannot be used on this machine."),
          N_("'ip route' shows what they collide with; a network made with --subnet has others.") },
        { OMERTA_ERROR_LIMIT_REACHED, CLIENT_ERROR_FAILED, N_("There are too many of these already."),
          N_("Remove one that is no longer needed first.") },
        { OMERTA_ERROR_STATE_DAMAGED, CLIENT_ERROR_FAILED,
          N_("What omertad has stored cannot be read."),
          N_("'journalctl -u omertad' names the file; restore it from a backup, or leave the "
             "network and join again.") },

        /* The bus. */
        { "org.freedesktop.DBus.Error.ServiceUnknown", CLIENT_ERROR_UNREACHABLE,
          N_("omertad is not running."),
          N_("Start it with 'sudo systemctl start omertad' ('systemctl --user start omertad' and "
             "--user for your own).") },
        { "org.freedesktop.DBus.Error.NameHasNoOwner", CLIENT_ERROR_UNREACHABLE,
          N_("omertad is not running."),
          N_("Start it with 'sudo systemctl start omertad' ('systemctl --user start omertad' and "
             "--user for your own).") },
        { "org.freedesktop.DBus.Error.NoReply", CLIENT_ERROR_UNREACHABLE,
          N_("omertad went away before it answered."),
          N_("'systemctl status omertad' and 'journalctl -u omertad' may say why.") },
        { "org.freedesktop.DBus.Error.Disconnected", CLIENT_ERROR_UNREACHABLE,
          N_("The connection to the bus was lost."), N_("Try again.") },
        { "org.freedesktop.DBus.Error.Timeout", CLIENT_ERROR_TIMEOUT,
          N_("omertad did not answer in time."),
          N_("'systemctl status omertad' says whether it is well; try again.") },
        { "org.freedesktop.DBus.Error.TimedOut", CLIENT_ERROR_TIMEOUT,
          N_("omertad did not start in time."),
          N_("'systemctl status omertad' and 'journalctl -u omertad' may say why.") },
        { "org.freedesktop.DBus.Error.AccessDenied", CLIENT_ERROR_DENIED,
          N_("You are not allowed to do this."),
          N_("Run it as root, or ask an administrator for the polkit action (org.omerta.Mesh1.*).") },
        { "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", CLIENT_ERROR_DENIED,
          N_("This needs an administrator's password, and nobody could be asked for it."),
          N_("Run it with sudo, or where the question can be answered: on a terminal (pkttyagent), or "
             "logged in at this machine.") },
        { "org.freedesktop.DBus.Error.UnknownMethod", CLIENT_ERROR_UNREACHABLE,
          N_("The running omertad does not know this command."),
          N_("It is probably of another version ('omerta version'): restart it with 'systemctl "
             "restart omertad'.") },
        { "org.freedesktop.DBus.Error.UnknownInterface", CLIENT_ERROR_UNREACHABLE,
          N_("The running omertad does not know this command."),
          N_("It is probably of another version ('omerta version'): restart it with 'systemctl "
             "restart omertad'.") },
        { "org.freedesktop.DBus.Error.UnknownObject", CLIENT_ERROR_NOT_FOUND, N_("It is gone."),
          N_("It went away in the meantime; look again.") },
        { "org.freedesktop.DBus.Error.InvalidArgs", CLIENT_ERROR_ARGUMENT,
          N_("The running omertad does not know one of these options."),
          N_("It is probably of another version ('omerta version'): restart it with 'systemctl "
             "restart omertad'.") },
        { "org.freedesktop.DBus.Error.LimitsExceeded", CLIENT_ERROR_FAILED,
          N_("The message bus refuses more."), N_("Try again later.") },
};

/* Names of which only the beginning says something: the bus could not start the daemon. */
static const ClientErrorText spawn_text = {
        "org.freedesktop.DBus.Error.Spawn.", CLIENT_ERROR_UNREACHABLE,
        N_("omertad could not be started."),
        N_("'systemctl status omertad' and 'journalctl -u omertad' say why.")
};

const ClientErrorText *client_error_text(const char *name) {
        if (!name)
                return &error_texts[0];
        for (size_t i = 0; i < ELEMENTSOF(error_texts); i++)
                if (strcmp(error_texts[i].name, name) == 0)
                        return &error_texts[i];
        /* systemd answers for the bus where a service is started through a unit. */
        if (g_str_has_prefix(name, spawn_text.name) ||
            g_str_has_prefix(name, "org.freedesktop.systemd1."))
                return &spawn_text;
        return &error_texts[0];
}

bool client_error_is_ours(const char *name, const char *message) {
        if (!name || !message || !*message)
                return false;
        /* "org.omerta.Mesh1.connect: needs an administrator's password": a refusal has the bus's
         * name, since programs know that one, and begins with polkit's action. */
        if (strcmp(name, SD_BUS_ERROR_ACCESS_DENIED) == 0)
                return g_str_has_prefix(message, OMERTA_BUS_NAME);
        return g_str_has_prefix(name, OMERTA_ERROR_PREFIX);
}
