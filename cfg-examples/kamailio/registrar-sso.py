# The routing of registrar-sso.cfg in Python (KEMI).
#
# KEMI does not end a script by a function's 0: where a check returns 0, the request waits for the authorization server,
# and the named function runs when it goes on.
import KSR

DOMAIN = "example.test"


def mod_init():
    return Registrar()


class Registrar:
    def child_init(self, rank):
        return 0

    def ksr_request_route(self, msg):
        if KSR.maxfwd.process_maxfwd(10) < 0:
            KSR.sl.sl_send_reply(483, "Too Many Hops")
            return 1
        if KSR.sanity.sanity_check(17895, 7) < 0:
            return 1
        if not KSR.is_REGISTER():
            KSR.sl.sl_send_reply(405, "Method Not Allowed")
            return 1
        # A copy of a request that waits.
        if KSR.tmx.t_precheck_trans() > 0:
            KSR.tm.t_check_trans()
            return 1
        return self.register(msg)

    def register(self, msg, evname=None):
        rc = KSR.auth_oauth.check_resume(DOMAIN, "register")
        if rc == 0:
            return 1
        if rc < 0:
            KSR.auth_oauth.reply()
            return 1
        user, provider = KSR.pv.get("$oauth(user)"), KSR.pv.get("$oauth(provider)")
        KSR.hdr.append_to_reply(f"X-User: {user} at {provider}\r\n")
        KSR.registrar.save("location", 0)
        return 1
