/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Runs a fuzz target once with every file of the directories given: what libFuzzer's own main
 * does with a corpus, without libFuzzer. */

#include <glib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned replay_directory(const char *path) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GDir) dir = g_dir_open(path, 0, &error);
        const char *name;
        unsigned n = 0;

        if (!dir) {
                fprintf(stderr, "%s\n", error->message);
                exit(EXIT_FAILURE);
        }
        while ((name = g_dir_read_name(dir))) {
                g_autofree char *file = g_build_filename(path, name, NULL);
                g_autofree char *text = NULL;
                g_autofree uint8_t *data = NULL;
                size_t size;

                if (!g_file_get_contents(file, &text, &size, &error)) {
                        fprintf(stderr, "%s\n", error->message);
                        exit(EXIT_FAILURE);
                }
                printf("%s\n", file);
                fflush(stdout);
                /* Of exactly this size: g_file_get_contents() adds a byte, which would hide a
                 * read one too far. */
                data = g_memdup2(text, size);
                LLVMFuzzerTestOneInput(data, size);
                n++;
        }
        return n;
}

int main(int argc, char *argv[]) {
        for (int i = 1; i < argc; i++)
                if (replay_directory(argv[i]) == 0) {
                        fprintf(stderr, "%s: no files\n", argv[i]);
                        return EXIT_FAILURE;
                }
        return argc > 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
