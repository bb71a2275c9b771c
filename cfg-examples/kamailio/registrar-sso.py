# The routing of registrar-sso.cfg in Python (KEMI).
#
# A request that must wait for the authorization server is like a refused one here: reply() then sends nothing, and the
# script sees the request again, from the top, when the answer is there.
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
        if KSR.auth_oauth.check(DOMAIN) < 0:
            KSR.auth_oauth.reply()
            return 1
        user, provider = KSR.pv.get("$oauth(user)"), KSR.pv.get("$oauth(provider)")
        KSR.hdr.append_to_reply(f"X-User: {user} at {provider}\r\n")
        KSR.registrar.save("location", 0)
        return 1
