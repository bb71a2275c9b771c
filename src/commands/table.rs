// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of commands, from which hosts register them.

use std::ffi::CStr;

use super::{Call, Outcome, accounts, devices, proxy, refers, sessions};

/// An argument of a command.
#[derive(Debug)]
pub struct Argument {
    /// Its name, snake_case.
    pub name: &'static CStr,
    /// The command does nothing without it.
    pub is_required: bool,
    /// It is not taken from a number, which may have lost zeros.
    pub is_text: bool,
}

/// A command.
pub struct Command {
    /// Its name, snake_case.
    pub name: &'static CStr,
    /// What it does.
    pub help: &'static CStr,
    /// Its arguments in their order, the required ones first.
    pub arguments: &'static [Argument],
    /// The answer has any number of items. Otherwise it has one item or one line.
    pub is_list: bool,
    pub(super) run: fn(&mut Call<'_>) -> Outcome,
}

const fn required(name: &'static CStr) -> Argument {
    Argument { name, is_required: true, is_text: false }
}

const fn optional(name: &'static CStr) -> Argument {
    Argument { name, is_required: false, is_text: false }
}

const ADDRESS: Argument = Argument { name: c"address", is_required: true, is_text: true };
const REFER: Argument = Argument { name: c"refer", is_required: true, is_text: true };
const PASSWORD: Argument = Argument { name: c"password", is_required: false, is_text: true };

/// All commands.
pub const COMMANDS: &[Command] = &[
    Command {
        name: c"reload",
        help: c"Read the configuration file again; a bad one leaves the old in force",
        arguments: &[],
        is_list: false,
        run: proxy::reload,
    },
    Command {
        name: c"refresh_keys",
        help: c"Fetch the keys of a provider, or of all, now",
        arguments: &[optional(c"provider")],
        is_list: false,
        run: proxy::refresh_keys,
    },
    Command {
        name: c"providers",
        help: c"State of each provider's keys",
        arguments: &[],
        is_list: true,
        run: proxy::providers,
    },
    Command {
        name: c"keys",
        help: c"The keys that are known: public parts only",
        arguments: &[],
        is_list: true,
        run: proxy::keys,
    },
    Command {
        name: c"jwks",
        help: c"The public keys of tokens that this proxy issues, of a provider or of the first one",
        arguments: &[optional(c"provider")],
        is_list: false,
        run: proxy::jwks,
    },
    Command { name: c"stats", help: c"The module's counters", arguments: &[], is_list: false, run: proxy::stats },
    Command {
        name: c"sessions_list",
        help: c"The sessions of phones that signed in, some at a time",
        arguments: &[optional(c"from")],
        is_list: true,
        run: sessions::list,
    },
    Command {
        name: c"sessions_show",
        help: c"The sessions of an address",
        arguments: &[ADDRESS],
        is_list: true,
        run: sessions::show,
    },
    Command {
        name: c"sessions_revoke",
        help: c"End one or all sessions of an address and remove their bindings",
        arguments: &[ADDRESS, optional(c"session")],
        is_list: false,
        run: sessions::revoke,
    },
    Command {
        name: c"sessions_revoke_all",
        help: c"End every session and remove their bindings",
        arguments: &[],
        is_list: false,
        run: sessions::revoke_all,
    },
    Command {
        name: c"accounts_list",
        help: c"The users of the Key-Derivation scheme, some at a time",
        arguments: &[optional(c"from")],
        is_list: true,
        run: accounts::list,
    },
    Command {
        name: c"accounts_show",
        help: c"The account of an address",
        arguments: &[ADDRESS],
        is_list: true,
        run: accounts::show,
    },
    Command {
        name: c"accounts_set",
        help: c"Write an account: ADDRESS VERIFIER, or ADDRESS password PASSWORD",
        arguments: &[ADDRESS, required(c"verifier"), PASSWORD],
        is_list: false,
        run: accounts::set,
    },
    Command {
        name: c"accounts_remove",
        help: c"Remove the account of an address",
        arguments: &[ADDRESS],
        is_list: false,
        run: accounts::remove,
    },
    Command {
        name: c"refer_list",
        help: c"The REFERs that the event server follows, some at a time",
        arguments: &[optional(c"from")],
        is_list: true,
        run: refers::list,
    },
    Command {
        name: c"refer_update",
        help: c"Tell how far a referred request has come: REFER STATUS, such as 180",
        arguments: &[REFER, required(c"status")],
        is_list: false,
        run: refers::update,
    },
    Command {
        name: c"refer_end",
        help: c"End a REFER with a final status, 503 if none is given",
        arguments: &[REFER, optional(c"status")],
        is_list: false,
        run: refers::end,
    },
    Command {
        name: c"devices_list",
        help: c"The phones that users have added at the sign-in page, some at a time",
        arguments: &[optional(c"from")],
        is_list: true,
        run: devices::list,
    },
    Command {
        name: c"devices_show",
        help: c"The phones that the user of an address has added at the sign-in page",
        arguments: &[ADDRESS],
        is_list: true,
        run: devices::show,
    },
    Command {
        name: c"devices_revoke",
        help: c"Sign one of these phones out, by its id or user name, or all of an address with their user's sign-in",
        arguments: &[ADDRESS, optional(c"device")],
        is_list: false,
        run: devices::revoke,
    },
];
