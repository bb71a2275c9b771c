-- Marks of dialogs from KEMI: what cfg-examples/kamailio/dialogs.cfg does.

function ksr_request_route()
    if KSR.siputils.has_totag() > 0 then
        if KSR.auth_oauth.dialog_check() < 0 or KSR.rr.loose_route_mode(1) < 0 then
            KSR.sl.sl_send_reply(481, "Call/Transaction Does Not Exist")
            return 1
        end
        KSR.tm.t_relay()
        return 1
    end
    KSR.textops.remove_hf("Route")
    KSR.textops.remove_hf("Path")
    return call()
end

function call()
    if KSR.auth_oauth.check("example.test") < 0 then
        KSR.auth_oauth.reply()
        return 1
    end
    KSR.rr.record_route()
    KSR.auth_oauth.dialog_mark()
    KSR.setdsturi((string.gsub(KSR.pv.get("$def(APPLICATION_SERVER)"), '"', '')))
    KSR.tm.t_relay()
    return 1
end
