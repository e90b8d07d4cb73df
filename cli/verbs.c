/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <limits.h>

#include "cli/cli.h"
#include "cli/i18n.h"

#define B(id) CLI_OPTION_BIT(OPTION_##id)

/* In the order in which the help lists them. Lines of .help are at most 80 columns. */
const CliVerb cli_verbs[] = {
        { "status", NULL, "", 0, 0, B(WATCH), N_("Show networks and how they are"),
          N_("Shows the daemon, every network this machine is in, its state and address\n"
             "there, and why it is not online if it is not."),
          cli_status },
        { "network", "create", "NAME", 1, 1, B(SUBNET) | B(ANY_SUBNET) | B(HOST_NAME) | B(OWNER),
          N_("Make a network; this is its gateway"),
          N_("Makes a network and its root key. This machine becomes the gateway: it lets\n"
             "others in and hands out addresses. Without --subnet one is chosen at\n"
             "random that overlaps no route of this machine."),
          cli_network_create, CLI_CHANGES },
        { "network", "invite", "", 0, 0,
          B(USES) | B(EXPIRES) | B(NAME) | B(APPROVAL) | B(ENDPOINT) | B(QR) | B(OUTPUT),
          N_("Print a link that lets a machine in"),
          N_("Prints an invite link, alone. It is a secret: whoever has it gets in, until it\n"
             "is used up or expires. On the gateway only. --endpoint may be given several\n"
             "times; names are looked up now."),
          cli_network_invite, CLI_CHANGES },
        { "network", "invites", "", 0, 0, 0, N_("List invites that can still be used"),
          N_("Lists the invites that have not expired. The links themselves are not stored."),
          cli_network_invites, CLI_ASKS },
        { "network", "uninvite", "ID", 1, 1, 0, N_("Withdraw an invite"),
          N_("Deletes an invite ('omerta network invites' shows the ids): nobody can use its\n"
             "link any more. Machines that have joined with it stay."),
          cli_network_uninvite, CLI_CHANGES },
        { "network", "join", "LINK|-|FILE", 1, 1, B(ANY_SUBNET) | B(HOST_NAME) | B(OWNER),
          N_("Join by an invite link"),
          N_("Joins a network and returns when this machine has its address there. The link\n"
             "is the argument, or stands in a file, or is read from the standard input (-),\n"
             "where other users of this machine cannot see it."),
          cli_network_join, CLI_CHANGES },
        { "network", "leave", "", 0, 0, B(FORCE), N_("Leave a network and forget its keys"),
          N_("Tells the others that this machine has left, and forgets the network with its\n"
             "keys. On the gateway that is the end of the network, and needs --force."),
          cli_network_leave, CLI_CHANGES },
        { "network", "list", "", 0, 0, 0, N_("List the networks of this machine"),
          N_("Lists the networks this machine is in, or waits to be let into."), cli_network_list },
        { "network", "peers", "", 0, 0, B(WATCH), N_("List the machines"),
          N_("Lists the members with their addresses, and how each is reached. With --watch\n"
             "again whenever it changes, and once a second with what has gone to and fro."),
          cli_network_peers },
        { "network", "address", "", 0, 0, 0, N_("Print this machine's address"),
          N_("Prints this machine's address in the network, alone."), cli_network_address },
        { "network", "pending", "", 0, 0, 0, N_("List who asks to be let in"),
          N_("Lists machines that wait for 'omerta network approve'."), cli_network_pending,
          CLI_ASKS },
        { "network", "approve", "MACHINE", 1, 1, 0, N_("Let a machine in"),
          N_("Lets a machine of 'omerta network pending' in. On the gateway only."),
          cli_network_approve, CLI_CHANGES },
        { "network", "refuse", "MACHINE", 1, 1, 0, N_("Send a machine away"),
          N_("Sends a machine of 'omerta network pending' away. On the gateway only."),
          cli_network_refuse, CLI_CHANGES },
        { "network", "refused", "", 0, 0, 0, N_("List who was sent away"),
          N_("Lists machines that 'omerta network refuse' has sent away. They are told so when\n"
             "they ask again, for ten minutes. On the gateway only."),
          cli_network_refused, CLI_ASKS },
        { "network", "rename", "MACHINE NAME", 2, 2, 0, N_("Give a machine another name"),
          N_("Gives a member another host name; its address stays, and every member knows it\n"
             "within seconds. On the gateway only, and not for the gateway itself."),
          cli_network_rename, CLI_CHANGES },
        { "network", "revoke", "MACHINE", 1, 1, B(YES) | B(WITHDRAW_INVITE) | B(KEEP_INVITE),
          N_("End a machine's membership"),
          N_("Ends a machine's membership for good: every member cuts it off within seconds.\n"
             "On the gateway only. This cannot be undone; with a new invite the machine can\n"
             "come back only under a new key. Asks first, and whether the invite it came by\n"
             "shall be withdrawn, if a person is there to answer."),
          cli_network_revoke, CLI_CHANGES },
        { "network", "revoked", "", 0, 0, 0, N_("List whose membership has ended"),
          N_("Lists the machines that were revoked or have left, with the reason and when."),
          cli_network_revoked },
        { "network", "show", "", 0, 0, 0, N_("Show one network in full"),
          N_("Shows everything about one network, and what it did not take, with reasons."),
          cli_network_show },
        { "network", "set", "SETTING VALUE", 2, 2, 0, N_("Change a setting"),
          N_("max-absence: how long a machine may be away and is still let back in, like\n"
             "90d, at least 30d; none (the default): for ever. grace: how long a certificate\n"
             "counts beyond its end among members that reach no gateway, 180d unless set.\n"
             "On the gateway only. mtu: the largest packet of this machine's interface, 1280\n"
             "to 1420 bytes, for lines that take less than 1500; one end is enough. name: what\n"
             "this machine calls the network. lan-discovery: on or off, whether this machine\n"
             "looks for members in its LAN. endpoints: names in the DNS, with ports and commas\n"
             "between, under which the gateway is found when its address changed; set on the\n"
             "gateway they go into its invites; none: there are none."),
          cli_network_set, CLI_CHANGES },
        { "network", "get", "[SETTING]", 0, 1, 0, N_("Show what was set"),
          N_("Shows what was set with 'omerta network set', or one setting. A member knows its\n"
             "own settings only."),
          cli_network_get },
        { "network", "repair-time", "", 0, 0, 0, N_("Say that this machine's clock is right"),
          N_("For when 'omerta status' says that the clock cannot be right, but it is, and no\n"
             "member is there who could confirm it. A gateway then signs again, and signs\n"
             "anew what it had signed by a clock that was ahead."),
          cli_network_repair_time, CLI_CHANGES },
        { "set", NULL, "SETTING VALUE", 2, 2, 0, N_("Set something of this machine"),
          N_("Sets what goes for this machine in all networks. port-mapping, on or off, on\n"
             "unless set: whether the router is asked to lead packets from outside to this\n"
             "machine's UDP port ('omerta mesh status' shows what came of it). relay: whether\n"
             "it carries packets of members that do not reach each other, which it cannot\n"
             "read: on, off, or auto (the default), which is on where it is reached from\n"
             "outside. tcp-port, a port or off (the default): where members whose UDP is\n"
             "blocked may connect by TCP; 443 is the one that is seldom blocked. What\n"
             "'omerta network set' has is taken too."),
          cli_set, CLI_CHANGES },
        { "get", NULL, "[SETTING]", 0, 1, 0, N_("Show what was set"),
          N_("Shows what was set with 'omerta set', or one setting."), cli_get },
        { "up", NULL, "[LINK|-|FILE]", 0, 1, B(ANY_SUBNET) | B(HOST_NAME) | B(OWNER) | B(GATEWAY),
          N_("Switch a network on"),
          N_("Switches interface and links of a network on. Remembered over restarts. With an\n"
             "invite link, joins its network first, as 'omerta network join' does. With\n"
             "--gateway it also does what 'omerta gateway use' does."),
          cli_up, CLI_CHANGES },
        { "down", NULL, "", 0, 0, 0, N_("Switch a network off"),
          N_("Switches interface and links of a network off; membership and address stay.\n"
             "Remembered over restarts."),
          cli_down, CLI_CHANGES },
        { "whois", NULL, "ADDRESS|NAME|ID", 1, 1, 0, N_("Show whose an address or a name is"),
          N_("Shows the machine that has an address, a name or an id: its owner, network and\n"
             "addresses, how it is reached, when it was last heard."),
          cli_whois },
        { "path", NULL, "MACHINE", 1, 1, 0, N_("Show the ways to a machine"),
          N_("Shows every way to a machine that is known: by which it is reached, how long\n"
             "that takes, and why the others are not used."),
          cli_path, CLI_ASKS },
        { "netcheck", NULL, "", 0, 0, 0, N_("Show what is before this machine"),
          N_("Shows by which addresses this machine is seen, how a router translates them\n"
             "(RFC 4787), what gets in, whether UDP passes, and who could relay. Members are\n"
             "asked now; that takes two seconds. 'omerta path MACHINE' says what follows."),
          cli_net_check, CLI_ASKS },
        { "connect", NULL, "[LINE]", 0, 1, B(OFFER) | B(ANSWER) | B(QR),
          N_("Reach a machine that nobody else can tell of"),
          N_("For two members while everybody who could tell them of each other is away: here\n"
             "'connect --offer' prints a line, on the other machine 'connect --answer LINE'\n"
             "takes it and prints another, which 'connect LINE' takes here. Both wait until\n"
             "the other answers, five minutes at most. A line is no secret."),
          cli_connect, CLI_ASKS },
        { "gateway", "use", "[MACHINE[,...]|auto|none]", 0, 1, B(NO_LAN),
          N_("Send internet traffic through a member"),
          N_("Sends this machine's internet traffic through a member that is an exit: the one\n"
             "that is named, the first of several that answers, or (auto) the nearest; none:\n"
             "this machine's own way again. Remembered over restarts. While none answers\n"
             "the internet is unreachable, and nothing leaves by another way. The LAN is\n"
             "reached as before, unless --no-lan is given."),
          cli_gateway_use, CLI_CHANGES },
        { "gateway", "exits", "", 0, 0, 0, N_("List the exits to the internet"),
          N_("Lists the members that are exits to the internet, and which one this machine\n"
             "uses."),
          cli_gateway_exits },
        { "gateway", "appoint", "MACHINE", 1, 1, 0, N_("Let a member be an exit"),
          N_("Says that a member may be an exit: others believe it when it says that it is\n"
             "one. On the gateway only, which always may."),
          cli_gateway_appoint, CLI_CHANGES },
        { "gateway", "dismiss", "MACHINE", 1, 1, 0, N_("Let a member be an exit no more"),
          N_("Takes back 'omerta gateway appoint'. Whoever uses that exit leaves it within\n"
             "seconds. On the gateway only."),
          cli_gateway_dismiss, CLI_CHANGES },
        { "gateway", "on", "", 0, 0, 0, N_("Be an exit to the internet"),
          N_("Makes this machine an exit of the network: members that choose it reach the\n"
             "internet by it, with its address. Nothing of this machine or its LAN is reached\n"
             "that way unless it is allowed. On the gateway, or where the gateway allows it."),
          cli_gateway_on, CLI_CHANGES },
        { "gateway", "off", "", 0, 0, 0, N_("Be no exit any more"),
          N_("Ends that, and puts back what was set in the kernel for it. Remembered over\n"
             "restarts, also beside 'omertad start --gateway'."),
          cli_gateway_off, CLI_CHANGES },
        { "gateway", "show", "", 0, 0, 0, N_("Show this machine as an exit"),
          N_("Shows whether this machine is an exit and why not, what was said of who may use\n"
             "it, and what each member sent and got by it since it is one."),
          cli_gateway_show },
        { "gateway", "allow", "WHO [PREFIX]", 1, 2, 0, N_("Say who may use the exit"),
          N_("Lets WHO use this exit: a machine, owner:NAME, or '*', all members, who may\n"
             "unless it was denied. A word for a machine goes before one for its owner, and\n"
             "that before one for all. With a PREFIX like 192.168.7.0/24: lets WHO reach that\n"
             "as well, which is not the internet. At once, and remembered."),
          cli_gateway_allow, CLI_CHANGES },
        { "gateway", "deny", "WHO [PREFIX]", 1, 2, 0, N_("Say who may not"),
          N_("Keeps WHO (as for 'omerta gateway allow') from using this exit; flows end at\n"
             "once. With a PREFIX: takes back that it was allowed."),
          cli_gateway_deny, CLI_CHANGES },
        { "gateway", "flows", "", 0, 0, 0, N_("List what goes through this exit"),
          N_("Lists the connections that members have through this machine. What each has sent\n"
             "and got is known where the kernel counts it (net.netfilter.nf_conntrack_acct)."),
          cli_gateway_flows, CLI_ASKS },
        { "mesh", "status", "", 0, 0, 0, N_("Show the links to other machines"),
          N_("Shows the encrypted links beneath the networks: paths, endpoints, handshakes,\n"
             "and what was not taken, with reasons."),
          cli_mesh_status },
        { "dhcp", "leases", "", 0, 0, 0, N_("List addresses and whose they are"),
          N_("Lists the leases of the network; every member knows all of them."), cli_dhcp_leases },
        { "tunnel", "sessions", "", 0, 0, 0, N_("List sessions and their traffic"),
          N_("Lists the sessions that carry packets to other machines."), cli_tunnel_sessions },
        { "tunnel", "close", "MACHINE [CHANNEL]", 1, 2, 0, N_("Close sessions with a machine"),
          N_("Closes the sessions with a machine, or the one of a channel, on both sides.\n"
             "The next packet makes a new one."),
          cli_tunnel_close, CLI_ASKS },
        { "ping", NULL, "MACHINE", 1, 1, B(COUNT) | B(INTERVAL),
          N_("See whether a machine answers, and how fast"),
          N_("Sends echo requests to a machine, one a second, and shows how long each answer\n"
             "took and whether the machine is reached directly: until Ctrl-C on a terminal,\n"
             "else four. Ends with a summary. Needs no interface."),
          cli_ping, CLI_ASKS },
        { "nc", NULL, "MACHINE PORT", 2, 2, B(FDPASS), N_("Connect standard input and output"),
          N_("Connects to a TCP port of a machine and copies the standard input there, and\n"
             "what comes back to the standard output. Needs no interface."),
          cli_nc, CLI_ASKS },
        { "ssh", NULL, "DESTINATION...", 1, UINT_MAX, 0, N_("Run ssh to a machine"),
          N_("Runs ssh(1), which connects through omertad: all options behind 'ssh' are\n"
             "ssh's, those of omerta stand before it."),
          cli_ssh },
        { "exec", NULL, "COMMAND [ARG...]", 1, UINT_MAX, 0, N_("Run a program in a network"),
          N_("Runs a program whose only network is the virtual one, with the names of its\n"
             "machines. For your own omertad, where it uses the kernel's TCP ('omerta\n"
             "status'). All that stands behind 'exec' is the program's; a leading -- is not."),
          cli_exec, CLI_ASKS },
        { "forward", NULL, "PORT:MACHINE:PORT", 1, 1, B(REVERSE) | B(KEEP),
          N_("Let a port of this machine lead to another's"),
          N_("Has omertad listen at a port of this machine (0: any that is free) and connect\n"
             "whoever comes to a port of a machine; prints where it listens, alone. An address\n"
             "may stand before the first port, or a path instead of it. With --reverse it is\n"
             "'omerta expose'."),
          cli_forward, CLI_CHANGES },
        { "expose", NULL, "PORT[:PORT]", 1, 1, B(KEEP),
          N_("Let the network reach a port of this machine"),
          N_("Has omertad listen at a port in the network and connect every member that comes\n"
             "to a port of this machine, the same one if no other is given. Where this\n"
             "machine has an interface in the network that is for ports only loopback has."),
          cli_expose, CLI_CHANGES },
        { "forwards", NULL, "", 0, 0, 0, N_("List forwarded and exposed ports"),
          N_("Lists what 'omerta forward' and 'omerta expose' made, and its traffic."), cli_forwards },
        { "unforward", NULL, "ID", 1, 1, 0, N_("End a forwarded or exposed port"),
          N_("Ends a forward ('omerta forwards' shows the ids), and its connections."),
          cli_unforward, CLI_CHANGES },
        { "backup", NULL, "FILE|-", 1, 1, 0, N_("Write all that this machine is to a file"),
          N_("Writes the networks and keys of this machine to a new file that only you can\n"
             "read. Keep it in a safe place: whoever has it is this machine. 'omertad restore'\n"
             "makes a state directory of it."),
          cli_backup, CLI_CHANGES },
        { "doctor", NULL, "", 0, 0, 0, N_("Find what is wrong here, and what mends it"),
          N_("Looks at units, interface, clock, firewall, port, permissions, routes,\n"
             "certificate and speed of this machine, and says what is wrong and which\n"
             "command mends it.\n"
             "Changes nothing. Ends with 0; 7: something could be better; 1: something is\n"
             "broken. Some of it takes root to see."),
          cli_doctor },
        { "version", NULL, "", 0, 0, 0, N_("Show the versions of omerta and omertad"),
          N_("Shows the version of this program and of the running daemon."), cli_version },
        { "help", NULL, "[COMMAND...]", 0, 2, 0, N_("Show this help, or that of a command"),
          N_("Shows all commands, or explains one."), cli_help },
        { NULL },
};
