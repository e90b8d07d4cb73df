# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion of omerta(1) for fish.

# Column of a table that omerta prints; nothing if the daemon does not answer soon.
function __omerta_column
    set -l column $argv[1]
    SYSTEMD_BUS_TIMEOUT=2s omerta $argv[2..] 2>/dev/null | awk -v column=$column '
        NR == 1 { for (i = 1; i <= NF; i++) if ($i == column) c = i; next }
        c && $c != "-" { print $c }'
end

# The words of the command so far, without options and their values.
function __omerta_words
    set -l skip 0
    for word in (commandline -opc)[2..]
        if test $skip = 1
            set skip 0
            continue
        end
        switch $word
            case -n --network --subnet --host-name --owner --uses --expires --name --endpoint \
                    -o --output --gateway -c --count -i --interval
                set skip 1
            case '-?*'
            case '*'
                echo $word
        end
    end
end

# True if the words so far are these.
function __omerta_at
    test "$(__omerta_words | string join ' ')" = "$argv"
end

# True if they begin with these.
function __omerta_in
    string match -q -- "$argv*" (__omerta_words | string join ' ')
end

complete -c omerta -f
complete -c omerta -s h -l help -d 'Show help'
complete -c omerta -s V -l version -d 'Show the version'
complete -c omerta -l json -d 'Print JSON'
complete -c omerta -s n -l network -x -a '(__omerta_column NETWORK network list)' -d Network
complete -c omerta -l system -d "Ask the system's omertad"
complete -c omerta -l user -d 'Ask your own omertad'

complete -c omerta -n '__omerta_at' -a status -d 'Show networks and how they are'
complete -c omerta -n '__omerta_at' -a network -d 'Networks, their machines, invites'
complete -c omerta -n '__omerta_at' -a up -d 'Switch a network on'
complete -c omerta -n '__omerta_at' -a down -d 'Switch a network off'
complete -c omerta -n '__omerta_at' -a whois -d 'Show whose an address or a name is'
complete -c omerta -n '__omerta_at' -a path -d 'Show the ways to a machine'
complete -c omerta -n '__omerta_at' -a netcheck -d 'Show what is before this machine'
complete -c omerta -n '__omerta_at' -a set -d 'Change a setting of a network'
complete -c omerta -n '__omerta_at' -a get -d 'Show what was set for a network'
complete -c omerta -n '__omerta_at' -a connect -d 'Reach a machine that nobody else can tell of'
complete -c omerta -n '__omerta_at' -a gateway -d 'The way to the internet'
complete -c omerta -n '__omerta_at' -a mesh -d 'Links to other machines'
complete -c omerta -n '__omerta_at' -a dhcp -d 'Addresses'
complete -c omerta -n '__omerta_at' -a tunnel -d 'Sessions'
complete -c omerta -n '__omerta_at' -a ping -d 'See whether a machine answers'
complete -c omerta -n '__omerta_at' -a nc -d 'Connect standard input and output'
complete -c omerta -n '__omerta_at' -a ssh -d 'Run ssh to a machine'
complete -c omerta -n '__omerta_at' -a exec -d 'Run a program in a network'
complete -c omerta -n '__omerta_at' -a forward -d "Let a port of this machine lead to another's"
complete -c omerta -n '__omerta_at' -a expose -d 'Let the network reach a port of this machine'
complete -c omerta -n '__omerta_at' -a forwards -d 'List forwarded and exposed ports'
complete -c omerta -n '__omerta_at' -a unforward -d 'End a forwarded or exposed port'
complete -c omerta -n '__omerta_at' -a backup -d 'Write all that this machine is to a file'
complete -c omerta -n '__omerta_at' -a doctor -d 'Find what is wrong here'
complete -c omerta -n '__omerta_at' -a version -d 'Show versions'
complete -c omerta -n '__omerta_at' -a help -d 'Show help'

complete -c omerta -n '__omerta_at network' -a create -d 'Make a network; this is its gateway'
complete -c omerta -n '__omerta_at network' -a invite -d 'Print a link that lets a machine in'
complete -c omerta -n '__omerta_at network' -a invites -d 'List invites that can be used'
complete -c omerta -n '__omerta_at network' -a uninvite -d 'Withdraw an invite'
complete -c omerta -n '__omerta_at network' -a join -d 'Join by an invite link'
complete -c omerta -n '__omerta_at network' -a leave -d 'Leave a network and forget its keys'
complete -c omerta -n '__omerta_at network' -a list -d 'List the networks of this machine'
complete -c omerta -n '__omerta_at network' -a peers -d 'List the machines'
complete -c omerta -n '__omerta_at network' -a address -d "Print this machine's address"
complete -c omerta -n '__omerta_at network' -a pending -d 'List who asks to be let in'
complete -c omerta -n '__omerta_at network' -a approve -d 'Let a machine in'
complete -c omerta -n '__omerta_at network' -a refuse -d 'Send a machine away'
complete -c omerta -n '__omerta_at network' -a refused -d 'List who was sent away'
complete -c omerta -n '__omerta_at network' -a rename -d 'Give a machine another name'
complete -c omerta -n '__omerta_at network' -a revoke -d "End a machine's membership"
complete -c omerta -n '__omerta_at network' -a revoked -d 'List whose membership has ended'
complete -c omerta -n '__omerta_at network' -a show -d 'Show one network in full'
complete -c omerta -n '__omerta_at network' -a set -d 'Change what holds for all members'
complete -c omerta -n '__omerta_at network' -a get -d 'Show what was set'
complete -c omerta -n '__omerta_at network' -a repair-time -d 'Say that this machine\'s clock is right'
complete -c omerta -n '__omerta_at gateway' -a use -d 'Send internet traffic through a member'
complete -c omerta -n '__omerta_at gateway' -a exits -d 'List the exits to the internet'
complete -c omerta -n '__omerta_at gateway' -a appoint -d 'Let a member be an exit'
complete -c omerta -n '__omerta_at gateway' -a dismiss -d 'Let a member be an exit no more'
complete -c omerta -n '__omerta_at mesh' -a status -d 'Show the links to other machines'
complete -c omerta -n '__omerta_at dhcp' -a leases -d 'List addresses and whose they are'
complete -c omerta -n '__omerta_at gateway' -a on -d 'Let members leave to the internet by this machine'
complete -c omerta -n '__omerta_at gateway' -a off -d 'Be no exit any more'
complete -c omerta -n '__omerta_at gateway' -a show -d 'Show this machine as an exit'
complete -c omerta -n '__omerta_at gateway' -a allow -d 'Say who may use the exit, or reach a LAN'
complete -c omerta -n '__omerta_at gateway' -a deny -d 'Say who may not'
complete -c omerta -n '__omerta_at gateway' -a flows -d 'List what goes through this exit'
complete -c omerta -n '__omerta_at gateway allow' -a '(__omerta_column HOST network peers)'
complete -c omerta -n '__omerta_at gateway deny' -a '(__omerta_column HOST network peers)'
complete -c omerta -n '__omerta_at tunnel' -a sessions -d 'List sessions and their traffic'
complete -c omerta -n '__omerta_at tunnel' -a close -d 'Close sessions with a machine'

complete -c omerta -n '__omerta_in network create' -l subnet -x -d 'Addresses of the network'
for verb in create join
    complete -c omerta -n "__omerta_in network $verb" -l any-subnet -d 'Root: even addresses that are not private'
    complete -c omerta -n "__omerta_in network $verb" -l host-name -x -d 'Name of this machine'
    complete -c omerta -n "__omerta_in network $verb" -l owner -x -d 'Whom this machine belongs to'
end
complete -c omerta -n '__omerta_in gateway use' -l no-lan -d 'The LAN is not reached besides'
complete -c omerta -n '__omerta_at gateway use' -a 'auto none (__omerta_column HOST gateway exits)'
for verb in appoint dismiss
    complete -c omerta -n "__omerta_at gateway $verb" -a '(__omerta_column HOST network peers)'
end
complete -c omerta -n '__omerta_in up' -l gateway -x -a 'auto (__omerta_column HOST gateway exits)' -d 'Leave by this exit'
complete -c omerta -n '__omerta_in up' -l any-subnet -d 'Root: even addresses that are not private'
complete -c omerta -n '__omerta_in up' -l host-name -x -d 'Name of this machine'
complete -c omerta -n '__omerta_in up' -l owner -x -d 'Whom this machine belongs to'
complete -c omerta -n '__omerta_at network invite' -l uses -x -d 'How many machines may use it'
complete -c omerta -n '__omerta_at network invite' -l expires -x -a '30min 24h 7d' \
    -d 'How long it is valid'
complete -c omerta -n '__omerta_at network invite' -l name -x -d 'Name of the joining machine'
complete -c omerta -n '__omerta_at network invite' -l approval -d 'Who asks waits for an approval'
complete -c omerta -n '__omerta_at network invite' -l endpoint -x -d 'Where the gateway is reached'
complete -c omerta -n '__omerta_at network invite' -l qr -d 'Show a QR code first'
complete -c omerta -n '__omerta_at network invite' -s o -l output -r -F -d 'Write to a file'
complete -c omerta -n '__omerta_in network leave' -l force -d 'On the gateway: end the network'
complete -c omerta -n '__omerta_in network revoke' -s y -l yes -d 'Do not ask'
complete -c omerta -n '__omerta_in network revoke' -l withdraw-invite \
    -d 'Withdraw the invite it came by'
complete -c omerta -n '__omerta_in network revoke' -l keep-invite -d 'Leave the invite it came by'

complete -c omerta -n '__omerta_in ping' -s c -l count -x -d 'How many packets are sent'
complete -c omerta -n '__omerta_in ping' -s i -l interval -x -d 'From one packet to the next'
complete -c omerta -n '__omerta_in status' -l watch -d 'Again whenever it changes'
complete -c omerta -n '__omerta_in network peers' -l watch -d 'Again whenever it changes'
complete -c omerta -n '__omerta_in nc' -l fdpass -d 'Pass the connection to the caller'

complete -c omerta -n '__omerta_in forward' -s R -l reverse -d 'From the network to this machine'
for verb in forward expose
    complete -c omerta -n "__omerta_in $verb" -l keep -d 'Have it again after a restart'
end

complete -c omerta -n '__omerta_at connect' -l offer -d "Print this machine's line"
complete -c omerta -n '__omerta_at connect' -l answer -d "Print this machine's line, too"
complete -c omerta -n '__omerta_at connect' -l qr -d 'Show a QR code first'
complete -c omerta -n '__omerta_at network join' -F
complete -c omerta -n '__omerta_at up' -F
for verb in whois path ping nc ssh
    complete -c omerta -n "__omerta_at $verb" -a '(__omerta_column HOST network peers)'
end
for verb in set get 'network set' 'network get'
    complete -c omerta -n "__omerta_at $verb" -a 'max-absence grace mtu lan-discovery name endpoints'
end
for verb in set get
    complete -c omerta -n "__omerta_at $verb" -a 'port-mapping relay tcp-port'
end
complete -c omerta -n '__omerta_at exec' -a '(__fish_complete_command)'
complete -c omerta -n '__omerta_at unforward' -a '(__omerta_column ID forwards)'
complete -c omerta -n '__omerta_at network uninvite' -a '(__omerta_column ID network invites)'
for verb in approve refuse
    complete -c omerta -n "__omerta_at network $verb" \
        -a '(__omerta_column MACHINE network pending)'
end
complete -c omerta -n '__omerta_at network rename' -a '(__omerta_column HOST network peers)'
complete -c omerta -n '__omerta_at network revoke' -a '(__omerta_column HOST network peers)'
complete -c omerta -n '__omerta_at tunnel close' -a '(__omerta_column HOST network peers)'
