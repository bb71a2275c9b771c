// SPDX-License-Identifier: MIT OR Apache-2.0
//! The C interface of this build, or of another one, so that both are timed in one run.

use std::ffi::{CStr, CString, c_char, c_void};
use std::path::Path;

use sipoauth::capi::types::{sipoauth_request, sipoauth_result, sipoauth_str};
use sipoauth::capi::{SIPOAUTH_ABI_VERSION, check, config, worker};

/// A handle of the interface, whose content only its own library knows.
pub type Config = *mut c_void;
/// As [`Config`].
pub type Context = *mut c_void;
/// As [`Config`].
pub type Worker = *mut c_void;
type Log = Option<unsafe extern "C" fn(*mut c_void, u32, *const c_char, usize)>;

macro_rules! library {
    ($($field:ident: $path:path as $name:literal, $kind:ty;)*) => {
        /// The functions that a bench calls.
        #[derive(Clone, Copy)]
        pub struct Library {
            $(#[doc = $name] pub $field: $kind,)*
        }

        impl Library {
            /// This build.
            pub fn this() -> Library {
                // SAFETY: handles are pointers in either type, and each is given to the functions of its own library only.
                unsafe { Library { $($field: std::mem::transmute::<*const c_void, $kind>($path as *const c_void),)* } }
            }

            /// The one in a file, which must have the same ABI version.
            pub fn load(file: &Path) -> Result<Library, String> {
                let handle = open(file)?;
                // SAFETY: functions of these names have these types in every library with this ABI version.
                let loaded = unsafe {
                    Library { $($field: std::mem::transmute::<*mut c_void, $kind>(symbol(handle, $name)?),)* }
                };
                Ok(loaded)
            }
        }
    };
}

library! {
    config_new: config::sipoauth_config_new as "sipoauth_config_new", unsafe extern "C" fn() -> Config;
    config_set: config::sipoauth_config_set as "sipoauth_config_set",
        unsafe extern "C" fn(Config, sipoauth_str, sipoauth_str, *mut c_char, usize) -> i32;
    provider_add: config::sipoauth_config_provider_add as "sipoauth_config_provider_add",
        unsafe extern "C" fn(Config, sipoauth_str, *mut c_char, usize) -> i32;
    config_free: config::sipoauth_config_free as "sipoauth_config_free", unsafe extern "C" fn(Config);
    context_new: config::sipoauth_context_new as "sipoauth_context_new",
        unsafe extern "C" fn(Config, Log, *mut c_void, *mut Context, *mut c_char, usize) -> i32;
    context_free: config::sipoauth_context_free as "sipoauth_context_free", unsafe extern "C" fn(Context);
    worker_new: worker::sipoauth_worker_new as "sipoauth_worker_new",
        unsafe extern "C" fn(Context, u32, *mut Worker, *mut c_char, usize) -> i32;
    worker_free: worker::sipoauth_worker_free as "sipoauth_worker_free", unsafe extern "C" fn(Worker);
    worker_check: check::sipoauth_worker_check as "sipoauth_worker_check",
        unsafe extern "C" fn(Worker, *const sipoauth_request, u32, *mut sipoauth_result) -> i32;
}

fn open(file: &Path) -> Result<*mut c_void, String> {
    let path = CString::new(file.as_os_str().as_encoded_bytes()).map_err(|e| e.to_string())?;
    // SAFETY: the path ends with a zero. The library has no initializers but those of its language.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    if handle.is_null() {
        return Err(failure());
    }
    let version = symbol(handle, "sipoauth_abi_version")?;
    // SAFETY: a function of this name has this type in every version.
    let version = unsafe { std::mem::transmute::<*mut c_void, extern "C" fn() -> u32>(version) }();
    if version == SIPOAUTH_ABI_VERSION {
        Ok(handle)
    } else {
        Err(format!("{}: ABI version {version}, not {SIPOAUTH_ABI_VERSION}", file.display()))
    }
}

fn symbol(handle: *mut c_void, name: &str) -> Result<*mut c_void, String> {
    let text = CString::new(name).map_err(|e| e.to_string())?;
    // SAFETY: the handle is open, and the name ends with a zero.
    let address = unsafe { libc::dlsym(handle, text.as_ptr()) };
    if address.is_null() { Err(failure()) } else { Ok(address) }
}

fn failure() -> String {
    // SAFETY: the text of the last failure is valid until the next call.
    unsafe { CStr::from_ptr(libc::dlerror()) }.to_string_lossy().into_owned()
}
