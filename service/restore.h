/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * 'omertad restore': makes a state directory of a backup ('omerta backup'), while no daemon uses it.
 * Says on stdout or stderr what it did. As root it becomes the owner of the directory, for good.
 *
 * @file: "-": the standard input. Return: 0, or negative errno.
 */
int restore_run(const char *file, const char *state_dir);
