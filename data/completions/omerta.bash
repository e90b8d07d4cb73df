# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion of omerta(1) for bash. Needs nothing of the bash-completion package.

# Column of a table that omerta prints; nothing if the daemon does not answer soon.
_omerta_column() {
        local column=$1
        shift
        SYSTEMD_BUS_TIMEOUT=2s omerta "$@" 2>/dev/null | awk -v column="$column" '
                NR == 1 { for (i = 1; i <= NF; i++) if ($i == column) c = i; next }
                c && $c != "-" { print $c }'
}

_omerta() {
        local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
        local -A nouns=(
                [network]='create invite invites uninvite join leave list peers address pending
                        approve refuse refused rename revoke revoked show set get repair-time'
                [gateway]='use exits appoint dismiss on off show allow deny flows'
                [mesh]='status'
                [dhcp]='leases'
                [tunnel]='sessions close'
        )
        local -A options=(
                ['network create']='--subnet --any-subnet --host-name --owner'
                ['network invite']='--uses --expires --name --approval --endpoint --qr --output'
                ['network join']='--any-subnet --host-name --owner'
                ['network leave']='--force'
                ['network revoke']='--yes --withdraw-invite --keep-invite'
                ['up']='--any-subnet --host-name --owner --gateway'
                ['gateway use']='--no-lan'
                ['connect']='--offer --answer --qr'
                ['nc']='--fdpass'
                ['ping']='--count --interval'
                ['status']='--watch'
                ['network peers']='--watch'
                ['forward']='--reverse --keep'
                ['expose']='--keep'
        )
        local global='--help --version --json --network --system --user'
        local -a ask=() words=()
        local i word

        COMPREPLY=()
        # --option=VALUE comes as three words
        if [[ $cur == '=' ]]; then
                cur=
        elif [[ $prev == '=' && COMP_CWORD -ge 2 ]]; then
                prev=${COMP_WORDS[COMP_CWORD - 2]}
        fi

        # What stands before the cursor: the words of the command, and whom to ask for names.
        for ((i = 1; i < COMP_CWORD; i++)); do
                word=${COMP_WORDS[i]}
                case $word in
                --user | --system)
                        ask+=("$word")
                        ;;
                -n | --network)
                        [[ ${COMP_WORDS[i + 1]} == '=' ]] && ((i++))
                        ((i + 1 < COMP_CWORD)) && ask+=(-n "${COMP_WORDS[i + 1]}")
                        ((i++))
                        ;;
                --subnet | --host-name | --owner | --uses | --expires | --name | --endpoint | --gateway | \
                        -o | --output | -c | --count | -i | --interval)
                        [[ ${COMP_WORDS[i + 1]} == '=' ]] && ((i++))
                        ((i++))
                        ;;
                -?*) ;;
                *)
                        words+=("$word")
                        ;;
                esac
        done

        case $prev in
        -n | --network)
                mapfile -t COMPREPLY < <(
                        compgen -W "$(_omerta_column NETWORK "${ask[@]}" network list)" -- "$cur")
                return
                ;;
        --expires)
                mapfile -t COMPREPLY < <(compgen -W '30min 24h 7d' -- "$cur")
                return
                ;;
        -o | --output)
                compopt -o filenames
                mapfile -t COMPREPLY < <(compgen -f -- "$cur")
                return
                ;;
        --gateway)
                mapfile -t COMPREPLY < <(
                        compgen -W "auto $(_omerta_column HOST "${ask[@]}" gateway exits)" -- "$cur")
                return
                ;;
        --subnet | --host-name | --owner | --uses | --name | --endpoint | -c | --count | -i | --interval)
                return
                ;;
        esac

        if [[ $cur == -* ]]; then
                # A subscript may not be empty: before there is a command only the global ones are.
                word=${words[*]:0:2}
                mapfile -t COMPREPLY < <(
                        compgen -W "${word:+${options[$word]-}} $global" -- "$cur")
                return
        fi

        case "${words[*]}" in
        '')
                word='status network up down whois path netcheck connect set get gateway mesh dhcp tunnel ping nc ssh exec
                        forward expose forwards unforward backup doctor version help'
                ;;
        network | gateway | mesh | dhcp | tunnel)
                word=${nouns[${words[0]}]}
                ;;
        'network rename' | 'network revoke' | 'tunnel close' | whois | path | ping | nc | ssh)
                word=$(_omerta_column HOST "${ask[@]}" network peers)
                ;;
        'gateway use')
                word="auto none $(_omerta_column HOST "${ask[@]}" gateway exits)"
                ;;
        'gateway appoint' | 'gateway dismiss' | 'gateway allow' | 'gateway deny')
                word=$(_omerta_column HOST "${ask[@]}" network peers)
                ;;
        exec)
                mapfile -t COMPREPLY < <(compgen -c -- "$cur")
                return
                ;;
        'network approve' | 'network refuse')
                word=$(_omerta_column MACHINE "${ask[@]}" network pending)
                ;;
        'network uninvite')
                word=$(_omerta_column ID "${ask[@]}" network invites)
                ;;
        unforward)
                word=$(_omerta_column ID "${ask[@]}" forwards)
                ;;
        'network set' | 'network get')
                word='max-absence grace mtu lan-discovery name endpoints'
                ;;
        set | get)
                word='port-mapping relay tcp-port max-absence grace mtu lan-discovery name endpoints'
                ;;
        'set port-mapping')
                word='on off'
                ;;
        'set relay')
                word='auto on off'
                ;;
        'set tcp-port')
                word='443 off'
                ;;
        'network join' | up | backup)
                compopt -o filenames
                mapfile -t COMPREPLY < <(compgen -f -- "$cur")
                return
                ;;
        *)
                return
                ;;
        esac
        mapfile -t COMPREPLY < <(compgen -W "$word" -- "$cur")
}

complete -F _omerta omerta
