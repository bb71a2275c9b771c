# SPDX-License-Identifier: MIT OR Apache-2.0
"""PJSIP registers a user with a password, and goes on until it is ended. A line "call URI" makes it call.

pjsip.py USER DOMAIN PASSWORD PORT TRANSPORT USER-AGENT [AUTHENTICATION-USER CA-FILE]
"""

import os
import select
import signal
import sys
import time

import pjsua2

user, domain, password, port, transport, agent = sys.argv[1:7]
username, ca_file = sys.argv[7:] or (user, "")
KINDS = {"udp": pjsua2.PJSIP_TRANSPORT_UDP, "tcp": pjsua2.PJSIP_TRANSPORT_TCP, "tls": pjsua2.PJSIP_TRANSPORT_TLS}

endpoint = pjsua2.Endpoint()
endpoint.libCreate()
settings = pjsua2.EpConfig()
settings.uaConfig.userAgent = agent
settings.uaConfig.threadCnt = 0
settings.uaConfig.mainThreadOnly = True
settings.logConfig.level = 4
endpoint.libInit(settings)
endpoint.audDevManager().setNullDev()
own = pjsua2.TransportConfig()
own.boundAddress = "127.0.0.1"
own.tlsConfig.CaListFile = ca_file
own.tlsConfig.verifyServer = True
endpoint.transportCreate(KINDS[transport], own)
endpoint.libStart()
account = pjsua2.AccountConfig()
account.idUri = f"sip:{user}@{domain}"
account.regConfig.registrarUri = f"sip:127.0.0.1:{port};transport={transport}"
account.regConfig.timeoutSec = 60
account.sipConfig.proxies.append(f"sip:127.0.0.1:{port};transport={transport};lr")
account.sipConfig.authCreds.append(pjsua2.AuthCredInfo("digest", "*", username, 0, password))
phone = pjsua2.Account()
phone.create(account)
# One that left without a BYE would keep the other phone busy.
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
calls = []
end = time.monotonic() + 120
try:
    while time.monotonic() < end:
        endpoint.libHandleEvents(50)
        if select.select([sys.stdin], [], [], 0)[0]:
            words = sys.stdin.readline().split()
            if words[:1] == ["call"]:
                calls.append(pjsua2.Call(phone))
                calls[-1].makeCall(words[1], pjsua2.CallOpParam(True))
finally:
    endpoint.hangupAllCalls()
    endpoint.libHandleEvents(200)
    # The order in which Python gives objects back is not the one that PJSIP wants.
    os._exit(0)
