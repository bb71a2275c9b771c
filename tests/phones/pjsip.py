# SPDX-License-Identifier: MIT OR Apache-2.0
"""PJSIP registers a user with a password, and goes on until it is ended.

pjsip.py USER DOMAIN PASSWORD PORT TRANSPORT USER-AGENT
"""

import sys
import time

import pjsua2

user, domain, password, port, transport, agent = sys.argv[1:]

endpoint = pjsua2.Endpoint()
endpoint.libCreate()
settings = pjsua2.EpConfig()
settings.uaConfig.userAgent = agent
settings.uaConfig.threadCnt = 0
settings.uaConfig.mainThreadOnly = True
settings.logConfig.level = 4
endpoint.libInit(settings)
own = pjsua2.TransportConfig()
own.boundAddress = "127.0.0.1"
endpoint.transportCreate(pjsua2.PJSIP_TRANSPORT_TCP if transport == "tcp" else pjsua2.PJSIP_TRANSPORT_UDP, own)
endpoint.libStart()
account = pjsua2.AccountConfig()
account.idUri = f"sip:{user}@{domain}"
account.regConfig.registrarUri = f"sip:127.0.0.1:{port};transport={transport}"
account.regConfig.timeoutSec = 60
account.sipConfig.authCreds.append(pjsua2.AuthCredInfo("digest", "*", user, 0, password))
phone = pjsua2.Account()
phone.create(account)
end = time.monotonic() + 120
while time.monotonic() < end:
    endpoint.libHandleEvents(50)
