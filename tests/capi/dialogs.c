/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The mark of a dialog: made for a request that was let in, known again in what follows, worth nothing anywhere else.
 */
#include <string.h>

#include "client.h"

#define MARK 43

void test_dialogs(sipoauth_worker *worker)
{
    const sipoauth_str call = text("call-1@192.0.2.1"), caller = text("caller"), callee = text("callee");
    const sipoauth_str none = {NULL, 0}, null_with_length = {NULL, 1};
    char mark[MARK + 8], route[128] = "lr";
    size_t len = 7;

    EXPECT_STATUS(sipoauth_worker_dialog_mark(worker, call, caller, NULL, 0, &len), SIPOAUTH_E_SPACE);
    EXPECT(len == MARK);
    EXPECT_STATUS(sipoauth_worker_dialog_mark(worker, call, caller, mark, MARK - 1, &len), SIPOAUTH_E_SPACE);
    EXPECT_STATUS(sipoauth_worker_dialog_mark(worker, call, caller, mark, sizeof(mark), &len), SIPOAUTH_OK);
    EXPECT(len == MARK && memcmp(mark, ";oauth=", 7) == 0);
    memcpy(route + 2, mark, MARK);
    EXPECT_STATUS(sipoauth_worker_dialog_check(worker, call, caller, callee, text(route)), SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_worker_dialog_check(worker, call, callee, caller, text(route)), SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_worker_dialog_check(worker, text("call-2"), caller, callee, text(route)), SIPOAUTH_E_MISMATCH);
    EXPECT_STATUS(sipoauth_worker_dialog_check(worker, call, callee, callee, text(route)), SIPOAUTH_E_MISMATCH);
    EXPECT_STATUS(sipoauth_worker_dialog_check(worker, call, caller, none, text(route)), SIPOAUTH_E_MISMATCH);
    EXPECT_STATUS(sipoauth_worker_dialog_check(worker, call, caller, callee, text("lr")), SIPOAUTH_E_MISMATCH);
    EXPECT_STATUS(sipoauth_worker_dialog_check(worker, call, caller, callee, none), SIPOAUTH_E_MISMATCH);

    EXPECT_STATUS(sipoauth_worker_dialog_mark(worker, none, caller, mark, sizeof(mark), &len), SIPOAUTH_E_INPUT);
    EXPECT(len == 0);
    EXPECT_STATUS(sipoauth_worker_dialog_mark(worker, call, none, mark, sizeof(mark), &len), SIPOAUTH_E_INPUT);
    EXPECT_STATUS(sipoauth_worker_dialog_mark(worker, null_with_length, caller, mark, sizeof(mark), &len),
                  SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_dialog_mark(worker, call, caller, NULL, 1, &len), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_dialog_mark(worker, call, caller, mark, sizeof(mark), NULL), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_dialog_mark(NULL, call, caller, mark, sizeof(mark), &len), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_dialog_check(NULL, call, caller, callee, text(route)), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(sipoauth_worker_dialog_check(worker, call, caller, callee, null_with_length), SIPOAUTH_E_ARGUMENT);
}
