// SPDX-License-Identifier: MIT OR Apache-2.0
//! The library with one provider, asked as hosts ask it: through the C interface, and as a Rust worker.

use std::ffi::c_void;
use std::path::PathBuf;
use std::ptr::null_mut;
use std::sync::Arc;

use sipoauth::capi::types::{
    SIPOAUTH_OK, SIPOAUTH_TRANSPORT_UDP, SIPOAUTH_VERDICT_ACCEPTED, sipoauth_request, sipoauth_result, sipoauth_str,
};
use sipoauth::process::context::Context;
use sipoauth::worker::{Handling, Worker};
use sipoauth_bench::part::folder;
use sipoauth_core::check::{Message, Request};
use sipoauth_core::config::source::Source;
use sipoauth_core::ports::{Level, Log};
use sipoauth_core::reason::Reason;

use crate::library::{Context as ContextHandle, Library, Worker as WorkerHandle};
use crate::tokens::{AUDIENCE, ISSUER, Key};

/// A REGISTER: who sends it, and the body of its Authorization header field.
#[derive(Default)]
pub struct Register {
    /// From and To.
    pub address: String,
    /// `Bearer` and the token.
    pub authorization: String,
}

impl Register {
    /// Receives another one in place of this one.
    pub fn receive(&mut self, other: &Register) {
        self.address.clone_from(&other.address);
        self.authorization.clone_from(&other.authorization);
    }

    /// The token alone.
    pub fn token(&self) -> &str {
        self.authorization.strip_prefix("Bearer ").expect("put there")
    }
}

const METHOD: &str = "REGISTER";
const REALM: &str = "example.com";
const SOURCE: &str = "192.0.2.1";
const CALL_ID: &str = "a84b4c76e66710@192.0.2.1";
const CSEQ: &str = "1826 REGISTER";
const FROM_TAG: &str = "456248";
const CONTACT: &str = "sip:alice@192.0.2.1:5060";
const INSTANCE: &str = "<urn:uuid:0c67446e-f1a1-11d9-94d3-000a95a0e128>";
const BRANCH: &str = "z9hG4bKnashds7";
const TO_TAG: &str = "2493k59kd";

/// A configuration with one provider whose key is this one.
fn settings(key: &Key, cache: usize) -> [(&'static str, String); 2] {
    let file = keys_file(key);
    let line = format!(
        "name=login;issuer={ISSUER};audience={AUDIENCE};aor=sip:{{preferred_username}}@example.com;jwks_file={};\
         algorithms={}",
        file.display(),
        key.algorithm()
    );
    [("provider", line), ("token_cache_size", cache.to_string())]
}

fn keys_file(key: &Key) -> PathBuf {
    let file = folder().join(format!("micro-{}.json", key.algorithm()));
    std::fs::create_dir_all(folder()).expect("a folder to write in");
    std::fs::write(&file, key.jwks().to_string()).expect("a folder to write in");
    file
}

/// Behind the C interface.
pub struct CHost {
    library: Library,
    context: ContextHandle,
    worker: WorkerHandle,
}

impl CHost {
    /// With a cache for this many tokens.
    pub fn new(library: Library, key: &Key, cache: usize) -> CHost {
        let mut host = CHost { library, context: null_mut(), worker: null_mut() };
        let [(_, provider), (size, value)] = settings(key, cache);
        let mut err = [0; 512];
        // SAFETY: every pointer is valid during its call, and the handles are used in their order.
        unsafe {
            let config = (library.config_new)();
            let (text, cap) = (err.as_mut_ptr(), err.len());
            let calls = [
                (library.config_set)(config, size.into(), value.as_str().into(), text, cap),
                (library.provider_add)(config, provider.as_str().into(), text, cap),
                (library.context_new)(config, None, null_mut::<c_void>(), &mut host.context, text, cap),
                (library.worker_new)(host.context, 0, &mut host.worker, text, cap),
            ];
            (library.config_free)(config);
            assert_eq!(calls, [SIPOAUTH_OK; 4]);
        }
        host
    }

    /// Checks it; true when the token was in the cache. It must be accepted.
    pub fn check(&mut self, register: &Register) -> bool {
        let credentials: sipoauth_str = register.authorization.as_str().into();
        let address: sipoauth_str = register.address.as_str().into();
        let empty = sipoauth_str::EMPTY;
        let request = sipoauth_request {
            struct_size: size_of::<sipoauth_request>() as u32,
            role: 0,
            transport: SIPOAUTH_TRANSPORT_UDP,
            source_port: 5060,
            now: 0,
            method: METHOD.into(),
            request_uri: "sip:example.com".into(),
            from_uri: address,
            to_uri: address,
            call_id: CALL_ID.into(),
            source_ip: SOURCE.into(),
            realm: REALM.into(),
            credentials: &credentials,
            credentials_count: 1,
            content_type: empty,
            body: empty,
            from_tag: FROM_TAG.into(),
            cseq: CSEQ.into(),
            date: empty,
            contact_uri: CONTACT.into(),
            instance: INSTANCE.into(),
            branch: BRANCH.into(),
            reply_to_tag: TO_TAG.into(),
            contact_count: 1,
            connection: 0,
            reg_id: 0,
            message: empty,
            client_certificate: None,
            client_certificate_user: std::ptr::null_mut(),
            vias: std::ptr::null(),
            vias_count: 0,
            complete: None,
            complete_user: std::ptr::null_mut(),
            user_agent: empty,
        };
        // SAFETY: a structure of integers and pointers may be all zero.
        let mut result: sipoauth_result = unsafe { std::mem::zeroed() };
        result.struct_size = size_of::<sipoauth_result>() as u32;
        // SAFETY: the worker is this host's, and all that the request points to lives until the end of the call.
        let status = unsafe { (self.library.worker_check)(self.worker, &request, 0, &mut result) };
        assert!(status == SIPOAUTH_OK && result.verdict == SIPOAUTH_VERDICT_ACCEPTED, "the check must accept");
        result.cached == 1
    }
}

impl Drop for CHost {
    fn drop(&mut self) {
        // SAFETY: both come from their _new functions and are not used any more.
        unsafe {
            (self.library.worker_free)(self.worker);
            (self.library.context_free)(self.context);
        }
    }
}

/// A worker without the C interface.
pub struct RustHost {
    worker: Worker,
}

struct Silent;

impl Log for Silent {
    fn log(&self, _: Level, _: &str) {}
}

impl RustHost {
    /// With a cache for this many tokens.
    pub fn new(key: &Key, cache: usize) -> RustHost {
        let mut source = Source::default();
        let [(_, provider), (size, value)] = settings(key, cache);
        source.set(size, &value).expect("a good setting");
        source.add_provider(&provider).expect("a good provider");
        let context = Context::new(source, Arc::new(Silent)).expect("a good configuration");
        RustHost { worker: Worker::new(Arc::new(context)).expect("a good configuration") }
    }

    /// As [`CHost::check`].
    pub fn check(&mut self, register: &Register) -> bool {
        let credentials = [register.authorization.as_str()];
        let message = Message {
            from_tag: FROM_TAG.as_bytes(),
            call_id: CALL_ID.as_bytes(),
            cseq: CSEQ.as_bytes(),
            contact: CONTACT.as_bytes(),
            instance: INSTANCE,
            branch: BRANCH.as_bytes(),
            reply_to_tag: TO_TAG.as_bytes(),
            contacts: 1,
            ..Message::default()
        };
        let request = Request {
            method: METHOD,
            from: &register.address,
            to: &register.address,
            realm: REALM,
            credentials: &credentials,
            transport: "udp",
            source: (SOURCE, 5060),
            message,
            ..Request::default()
        };
        let verdict = self.worker.check(&request, &Handling { source: SOURCE, ..Handling::default() });
        assert_eq!(verdict.answer.reason(), Reason::Ok);
        verdict.answer.cached
    }
}
