/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/agent.h"

/* Between fork() and exec(): only what signal-safety(7) allows. It talks to the terminal itself;
 * what it says when it cannot work is nothing to a person: the call's own error is. */
static void become_agent(int notify, const char *notify_text, pid_t parent) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent || null < 0)
                _exit(1);
        if (dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0 ||
            fcntl(notify, F_SETFD, 0) < 0)
                _exit(1);
        (void) execlp("pkttyagent", "pkttyagent", "--fallback", "--notify-fd", notify_text, NULL);
        _exit(1);
}

void cli_agent_open(Cli *cli) {
        char notify_text[16];
        int notify[2];
        pid_t parent = getpid(), pid;
        struct pollfd p;

        if (cli->agent > 0 || cli->options.user || cli->verb->kind == CLI_LOOKS || geteuid() == 0 ||
            !isatty(STDIN_FILENO) || pipe2(notify, O_CLOEXEC) < 0)
                return;
        g_snprintf(notify_text, sizeof notify_text, "%d", notify[1]);
        pid = fork();
        if (pid == 0)
                become_agent(notify[1], notify_text, parent);
        close(notify[1]);
        /* Closed when it has registered, or has ended. */
        p = (struct pollfd){ notify[0], 0, 0 };
        while (pid > 0 && poll(&p, 1, -1) < 0 && errno == EINTR)
                ;
        close(notify[0]);
        cli->agent = MAX(pid, 0);
}

void cli_agent_close(Cli *cli) {
        if (cli->agent <= 0)
                return;
        (void) kill(cli->agent, SIGTERM);
        (void) kill(cli->agent, SIGCONT);
        while (waitpid(cli->agent, NULL, 0) < 0 && errno == EINTR)
                ;
        cli->agent = 0;
}
