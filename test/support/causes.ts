/** What runtimes throw when there is no answer: as `npm run test:runtimes` shows, and as documented for those it cannot run. */

export const thrown = (name: string, message: string, more: object = {}) =>
  Object.assign(new Error(message), { name }, more)
const openssl = (words: string) =>
  `80DCE48B847F0000:error:0A000410:SSL routines:ssl3_read_bytes:${words}:../deps/openssl/record/rec_layer_s3.c:1601:`
const failed = (cause: unknown) => thrown("TypeError", "fetch failed", { cause })
const node = (code: string, message: string, syscall?: string) =>
  failed(thrown("Error", message, syscall === undefined ? { code } : { code, syscall }))
const deno = (what: string) =>
  failed(thrown("Error", `error sending request for url (http://localhost:8000/v1/tasks/tmp): ${what}`))
const bun = (code: string, message: string, more: object = {}) => thrown("TypeError", message, { code, ...more })
const cancelled = (message: string) =>
  failed(thrown("Error", "Request was cancelled.", {
    code: 0,
    cause: thrown("AbortError", message, { code: "UND_ERR_ABORTED" })
  }))
const connects = (code: string) =>
  ["::1", "127.0.0.1"].map((host) => thrown("Error", `connect ${code} ${host}:8000`, { code, syscall: "connect" }))
const unable = "Unable to connect. Is the computer able to access the url?"
const typo = "Was there a typo in the url or port?"
const verbose = " For more information, pass `verbose: true` in the second argument to fetch()"
const expired =
  "certificate expired: verification time 1795831066 (UNIX), but certificate is not valid after 1577923200"

/** What it is, what `fetch` throws, words of it that a message shows, and whether another attempt may do better. */
export type Told = readonly [what: string, cause: unknown, words: string, isTransient: boolean]

/** The connection was never made, and the runtime tells. */
export const neverMade: ReadonlyArray<Told> = [
  [
    "Node, each address too late",
    failed(Object.assign(new AggregateError(connects("ETIMEDOUT")), { code: "ETIMEDOUT" })),
    "connect ETIMEDOUT 127.0.0.1:8000",
    true
  ],
  ["Node, no socket file", node("ENOENT", "connect ENOENT /run/rwkv.sock", "connect"), "connect ENOENT", true],
  ["Node, nobody at the file", node("ECONNREFUSED", "connect ECONNREFUSED /a", "connect"), "ECONNREFUSED", true],
  ["Node, not allowed", node("EACCES", "connect EACCES /run/rwkv.sock", "connect"), "EACCES", false],
  ["Node, no route", node("EHOSTUNREACH", "connect EHOSTUNREACH ::2:5", "connect"), "EHOSTUNREACH", true],
  ["Node, reset at once", node("ECONNRESET", "connect ECONNRESET 127.0.0.1:1", "connect"), "ECONNRESET", true],
  ["Node, no such host", node("ENOTFOUND", "getaddrinfo ENOTFOUND gpu", "getaddrinfo"), "ENOTFOUND gpu", false],
  ["Node, DNS is away", node("EAI_AGAIN", "getaddrinfo EAI_AGAIN gpu", "getaddrinfo"), "EAI_AGAIN gpu", true],
  ["Node, self-signed", node("DEPTH_ZERO_SELF_SIGNED_CERT", "self-signed certificate"), "self-signed", false],
  ["Node, expired", node("CERT_HAS_EXPIRED", "certificate has expired"), "certificate has expired", false],
  [
    "Node, a name that is not in the certificate",
    node("ERR_TLS_CERT_ALTNAME_INVALID", "Hostname/IP does not match certificate's altnames: Host: localhost."),
    "does not match certificate's altnames",
    false
  ],
  ["Node, unknown issuer", node("UNABLE_TO_VERIFY_LEAF_SIGNATURE", "unable to verify"), "unable to verify", false],
  [
    "Node, closed in the handshake",
    node("ECONNRESET", "Client network socket disconnected before secure TLS connection was established"),
    "before secure TLS",
    true
  ],
  ["Node, TLS to a plain port", node("ERR_SSL_WRONG_VERSION_NUMBER", "wrong version number"), "wrong version", false],
  [
    "Node, the server refused the handshake",
    node("ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE", openssl("sslv3 alert handshake failure")),
    "sslv3 alert handshake failure",
    false
  ],
  [
    "Node 24, the server refused the handshake",
    node("ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE", openssl("ssl/tls alert handshake failure")),
    "ssl/tls alert handshake failure",
    false
  ],
  [
    "Node, another version of TLS",
    node("ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION", openssl("tlsv1 alert protocol version")),
    "tlsv1 alert protocol version",
    false
  ],
  [
    "Node, a server that speaks old TLS",
    node("ERR_SSL_UNSAFE_LEGACY_RENEGOTIATION_DISABLED", openssl("unsafe legacy renegotiation disabled")),
    "unsafe legacy",
    false
  ],
  [
    "node:http, TLS to a plain port",
    thrown("Error", `write EPROTO ${openssl("wrong version number")}`, { code: "EPROTO", syscall: "write" }),
    "wrong version number",
    false
  ],
  ["Node, no list of revoked ones", node("CRL_HAS_EXPIRED", "CRL has expired"), "CRL has expired", false],
  ["Node, no such authority", node("INVALID_CA", "invalid CA certificate"), "invalid CA", false],
  ["Node, for another purpose", node("INVALID_PURPOSE", "unsuitable certificate purpose"), "unsuitable", false],
  [
    "Node, one address too late, one refused",
    failed(
      new AggregateError([
        thrown("Error", "Socket connection timeout", { code: "ERR_SOCKET_CONNECTION_TIMEOUT" }),
        ...connects("ECONNREFUSED")
      ])
    ),
    "connect ECONNREFUSED",
    true
  ],
  [
    "node-fetch, no route",
    thrown("FetchError", "request to http://gpu:8000/ failed, reason: connect EHOSTUNREACH 10.0.0.1:8000", {
      code: "EHOSTUNREACH"
    }),
    "connect EHOSTUNREACH",
    true
  ],
  ["Node, handshake too slow", node("UND_ERR_CONNECT_TIMEOUT", "Connect Timeout Error"), "Connect Timeout", true],
  ["Node, a bad port", failed(new Error("bad port")), "bad port", false],
  ["Node, a bad header", node("UND_ERR_INVALID_ARG", "invalid upgrade header"), "invalid upgrade header", false],
  ["Node, a proxy's 407", cancelled("Proxy response (407) !== 200 when HTTP Tunneling"), "(407)", false],
  ["Node, a proxy's 502", cancelled("Proxy response (502) !== 200 when HTTP Tunneling"), "(502)", true],
  [
    "Deno, refused",
    deno("client error (Connect): tcp connect error: Connection refused (os error 111)"),
    "111",
    true
  ],
  ["Deno 1, refused", deno("error trying to connect: tcp connect error: Connection refused"), "tcp connect", true],
  [
    "Deno, no such host",
    deno("client error (Connect): dns error: failed to lookup address information: Name or service not known"),
    "dns error",
    false
  ],
  [
    "Deno, DNS is away",
    deno(
      "client error (Connect): dns error: failed to lookup address information: Temporary failure in name resolution"
    ),
    "dns error",
    true
  ],
  [
    "Deno, self-signed",
    deno("client error (Connect): invalid peer certificate: UnknownIssuer"),
    "UnknownIssuer",
    false
  ],
  [
    "Deno, expired",
    deno(`client error (Connect): invalid peer certificate: ${expired}`),
    "certificate expired",
    false
  ],
  [
    "Deno, the server refused the handshake",
    deno("client error (Connect): received fatal alert: HandshakeFailure"),
    "HandshakeFailure",
    false
  ],
  ["Deno, a bad port", thrown("TypeError", "Fetch failed: Requests to port 9 are blocked"), "port 9", false],
  ["Deno, a proxy's 407", deno("client error (Connect): proxy authentication required"), "authentication", false],
  ["Deno, a proxy's 502", deno("client error (Connect): unsuccessful tunnel"), "unsuccessful tunnel", true],
  ["Deno, closed in the handshake", deno("client error (Connect): tls handshake eof"), "tls handshake eof", true],
  [
    "Deno, no permission",
    thrown("NotCapable", "Requires net access to \"gpu:80\", run again with the --allow-net flag"),
    "Requires net access",
    false
  ],
  ["Bun, refused", bun("ECONNREFUSED", `ECONNREFUSED: ${unable}`), "Unable to connect", true],
  ["Bun 1.1, refused", bun("ConnectionRefused", unable), "Unable to connect", true],
  ["Bun 1.1, not opened", bun("FailedToOpenSocket", typo), "typo", true],
  ["Bun, no route", bun("EHOSTUNREACH", `EHOSTUNREACH: ${unable}`), "Unable to connect", true],
  ["Bun, no socket file", bun("ENOENT", `ENOENT: ${typo}`), "ENOENT", true],
  ["Bun, no such host", bun("ENOTFOUND", "getaddrinfo ENOTFOUND gpu", { syscall: "getaddrinfo" }), "gpu", false],
  ["Bun, self-signed", bun("DEPTH_ZERO_SELF_SIGNED_CERT", "self signed certificate"), "self signed", false],
  [
    "Bun, another name",
    bun("ERR_TLS_CERT_ALTNAME_INVALID", `ERR_TLS_CERT_ALTNAME_INVALID fetching "https://gpu/".${verbose}`),
    "ERR_TLS_CERT_ALTNAME_INVALID fetching \"https://gpu/\".",
    false
  ],
  [
    "Bun, a proxy's 407",
    bun("ERR_PROXY_TUNNEL", "Proxy refused to open a tunnel: 407 Proxy Authentication Required"),
    "407",
    false
  ],
  ["Bun, a proxy's 502", bun("ERR_PROXY_TUNNEL", "Proxy refused to open a tunnel: 502 Bad Gateway"), "502", true],
  [
    "workers, an option that is missing",
    thrown("TypeError", "The 'cache' field on 'RequestInitializerDict' is not implemented."),
    "is not implemented",
    false
  ],
  ["workers, too many", thrown("Error", "Too many subrequests by single Worker invocation."), "Too many", false],
  ["no way to abort", thrown("ReferenceError", "AbortController is not defined"), "AbortController is not", false],
  [
    "Hermes, no request",
    thrown("ReferenceError", "Property 'Request' doesn't exist"),
    "Property 'Request' doesn't exist",
    false
  ],
  ["no fetch", thrown("ReferenceError", "fetch is not defined"), "fetch is not defined", false],
  [
    "Chrome, a bad option",
    thrown("TypeError", "Failed to execute 'fetch' on 'Window': x"),
    "Failed to execute",
    false
  ]
]

/** The request may have been sent. */
export const maybeMade: ReadonlyArray<Told> = [
  ["Node, reset", node("ECONNRESET", "read ECONNRESET", "read"), "read ECONNRESET", true],
  [
    "Node, a damaged record",
    node("ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC", "bad record mac"),
    "bad record",
    false
  ],
  ["Node, closed", node("UND_ERR_SOCKET", "other side closed"), "other side closed", true],
  [
    "Node 24, not HTTP",
    failed(thrown("HTTPParserError", "Response does not match the HTTP/1.1 protocol")),
    "",
    false
  ],
  [
    "Node, one address reset after it was connected",
    failed(
      new AggregateError([
        ...connects("ECONNREFUSED"),
        thrown("Error", "write EPIPE", { code: "EPIPE", syscall: "write" })
      ])
    ),
    "write EPIPE",
    true
  ],
  ["Deno, reset", failed(new Error("Connection reset by peer (os error 104)")), "Connection reset", true],
  [
    "Deno, closed",
    failed(
      new Error(
        "error sending request from 127.0.0.1:50290 for http://127.0.0.1:34207/ (127.0.0.1:34207): client error " +
          "(SendRequest): connection closed before message completed"
      )
    ),
    "client error (SendRequest): connection closed",
    true
  ],
  ["Bun, reset", bun("ECONNRESET", `ECONNRESET: The socket connection was closed unexpectedly.${verbose}`), "", true],
  ["Bun, not HTTP", bun("Malformed_HTTP_Response", "Malformed_HTTP_Response fetching \"/\""), "Malformed", false],
  ["workers, lost", new Error("Network connection lost."), "Network connection lost.", true],
  ["workers, unknown", new Error("internal error; reference = o52qhlf1tg3pfgpu24d1q0bh"), "internal error", true],
  ["Chrome", thrown("TypeError", "Failed to fetch"), "Failed to fetch", true],
  ["Safari", thrown("TypeError", "Load failed"), "Load failed", true],
  ["Firefox", thrown("TypeError", "NetworkError when attempting to fetch resource."), "NetworkError when", true],
  ["React Native", thrown("TypeError", "Network request failed"), "Network request failed", true],
  ["middleware", thrown("TypeError", "next is not a function"), "next is not a function", false]
]
