"""The keywords of ssh_config, and what becomes of each here."""

from typing import Final

OBEYED: Final = frozenset({
    "addressfamily", "batchmode", "bindaddress", "certificatefile", "ciphers", "compression",
    "connecttimeout", "globalknownhostsfile", "hashknownhosts", "hostkeyalgorithms",
    "hostkeyalias", "hostname", "identitiesonly", "identityagent", "identityfile",
    "kbdinteractiveauthentication", "kexalgorithms", "macs", "passwordauthentication", "port",
    "preferredauthentications", "proxycommand", "proxyjump", "pubkeyacceptedalgorithms",
    "pubkeyauthentication", "rekeylimit", "requiredrsasize", "revokedhostkeys",
    "serveralivecountmax", "serveraliveinterval", "stricthostkeychecking", "user",
    "userknownhostsfile",
})  # fmt: skip

# Older names, which OpenSSH still takes.
RENAMED: Final = {
    "challengeresponseauthentication": "kbdinteractiveauthentication",
    "skeyauthentication": "kbdinteractiveauthentication",
    "tisauthentication": "kbdinteractiveauthentication",
    "dsaauthentication": "pubkeyauthentication",
    "hostbasedkeytypes": "hostbasedacceptedalgorithms",
    "pubkeyacceptedkeytypes": "pubkeyacceptedalgorithms",
    "identityfile2": "identityfile",
    "globalknownhostsfile2": "globalknownhostsfile",
    "userknownhostsfile2": "userknownhostsfile",
}

# What these demand cannot be done here, and to go on without it would be another connection than
# the user wants, or a less protected one. The value, where there is one, is harmless.
DEMANDS: Final = {
    "bindinterface": None,
    "canonicalizehostname": "no",
    "enablesshkeysign": "no",
    "fipsmode": "no",
    "knownhostscommand": "none",
    "obscurekeystroketiming": "no",
    "pkcs11provider": "none",
    "proxyusefdpass": "no",
    "remotecommand": "none",
    "verifyhostkeydns": "no",
}

# What concerns terminals, forwarding, sharing of connections and the like, of which there is none
# here; and what only says which else may be tried to be let in.
WITHOUT_MEANING: Final = frozenset({
    "addkeystoagent", "canonicaldomains", "canonicalizefallbacklocal", "canonicalizemaxdots",
    "canonicalizepermittedcnames", "casignaturealgorithms", "channeltimeout", "checkhostip",
    "clearallforwardings", "connectionattempts", "controlmaster", "controlpath",
    "controlpersist", "dynamicforward", "enableescapecommandline", "escapechar",
    "exitonforwardfailure", "fingerprinthash", "forkafterauthentication", "forwardagent",
    "forwardx11", "forwardx11timeout", "forwardx11trusted", "gatewayports",
    "gssapiauthentication", "gssapiclientidentity", "gssapidelegatecredentials",
    "gssapikeyexchange", "gssapirenewalforcesrekey", "gssapiserveridentity", "gssapitrustdns",
    "hostbasedacceptedalgorithms", "hostbasedauthentication", "ignoreunknown", "ipqos",
    "kbdinteractivedevices", "localcommand", "localforward", "loglevel", "logverbose",
    "nohostauthenticationforlocalhost", "numberofpasswordprompts", "permitlocalcommand",
    "permitremoteopen", "protocol", "refuseconnection", "remoteforward", "requesttty",
    "securitykeyprovider", "sendenv", "sessiontype", "setenv", "stdinnull",
    "streamlocalbindmask", "streamlocalbindunlink", "syslogfacility", "tag", "tcpkeepalive",
    "tunnel", "tunneldevice", "updatehostkeys", "useprivilegedport", "versionaddendum",
    "visualhostkey", "warnweakcrypto", "xauthlocation", "cipher", "useroaming", "smartcarddevice",
    "rhostsrsaauthentication", "rsaauthentication", "rhostsauthentication", "usersh",
    "fallbacktorsh", "afstokenpassing", "kerberosauthentication", "kerberostgtpassing",
    "keepalive", "usekeychain", "compressionlevel",
})  # fmt: skip

KNOWN: Final = OBEYED | RENAMED.keys() | DEMANDS.keys() | WITHOUT_MEANING

# The rest of the line is a command, with its own quotation marks.
RAW: Final = frozenset({"proxycommand", "remotecommand", "localcommand", "knownhostscommand"})

# All values count, in their order; of others the first.
REPEATED: Final = frozenset({"identityfile", "certificatefile"})
