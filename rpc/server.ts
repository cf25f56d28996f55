/**
 * JSON-RPC over HTTP POST and WebSocket on one port, with GET /health and /ready beside them. Transactions go to the intake, all other calls to the desk:
 * either may be in another thread, and nothing here knows the chain.
 * What comes in is hostile: hosts and origins are allow-listed (a page that rebinds its name to this address gets nothing), bodies, batches,
 * rates, connections and unread answers are bounded, and whatever a body holds, the answer is a typed error and the server stays up.
 * Spec: docs/spec/rpc.md
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import type { CallCounts } from './callCounts.ts'
import { type Client, type Clients, createClients } from './clients.ts'
import type { Desk } from './desk.ts'
import { asksFor, createDispatcher, errorText, parseBody } from './dispatch.ts'
import { type Intake, intakeMethods } from './intake.ts'
import { createTokenBucket, RPC_LIMITS, type RpcLimits, type TokenBucket } from './limits.ts'
import { RPC_ERROR } from './rpcError.ts'
import type { Subscriber } from './subscriptions.ts'

/** Where the server tells what happens to it. */
export type RpcLog = {
  info(event: string, facts: Readonly<Record<string, unknown>>): void
  error(event: string, facts: Readonly<Record<string, unknown>>): void
}

export type RpcServerOptions = {
  readonly desk: Desk
  readonly intake: Intake
  /** Address to listen on. */
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  /** Bounds that differ from `RPC_LIMITS`. */
  readonly limits?: Partial<RpcLimits> | undefined
  /** Names by which clients may call this server, besides those of the loopback; `*` for any. */
  readonly allowedHosts?: readonly string[] | undefined
  /** Origins whose pages may read answers, such as `http://localhost:5173`; `*` for any. */
  readonly allowedOrigins?: readonly string[] | undefined
  /** Addresses of reverse proxies whose X-Forwarded-For is believed. */
  readonly trustedProxies?: readonly string[] | undefined
  /** Where calls that the intake answers are counted; the desk counts its own. */
  readonly counts?: CallCounts | undefined
  readonly log: RpcLog
  /** Milliseconds; for tests. */
  readonly now?: (() => number) | undefined
}

/** A server that answers. */
export type RpcServer = {
  readonly url: string
  readonly wsUrl: string
  /** Closes every connection; resolves when the port is free. */
  close(): Promise<void>
}

/** What one connection may still ask. */
type Meter = { readonly bucket: TokenBucket; inFlight: number }

/** What all of the server's parts share. */
type Shared = {
  readonly limits: RpcLimits
  readonly isHostAllowed: (header: string | undefined) => boolean
  readonly isOriginAllowed: (header: string) => boolean
  readonly desk: Desk
  readonly clients: Clients
  /** Answers a body, unless the connection or its client asks for too much, or everybody together does. */
  readonly answer: (text: string, from: Asker, subscriber: Subscriber | undefined) => Promise<Answered>
  readonly log: RpcLog
}

/** Where a body comes from. */
type Asker = { readonly connection: object; readonly client: Client | undefined }

/** `refused`: above a limit. `subscribed`: the body may have begun subscriptions, whose ids the text tells. */
type Answered = { readonly text: string | undefined; readonly refused?: boolean; readonly subscribed?: boolean }

const LOOPBACK_HOSTS = ['localhost', '127.0.0.1', '[::1]']

/** Starts to listen. Rejects if the address cannot be had. */
export async function createRpcServer(options: RpcServerOptions): Promise<RpcServer> {
  const { desk, host, port, log } = options
  const limits = { ...RPC_LIMITS, ...options.limits }
  const shared: Shared = {
    limits,
    isHostAllowed: hostCheck([...LOOPBACK_HOSTS, ...(options.allowedHosts ?? [])]),
    isOriginAllowed: (origin) => (options.allowedOrigins ?? []).some((allowed) => allowed === '*' || allowed === origin),
    desk,
    clients: createClients(limits, options.trustedProxies ?? [], options.now ?? Date.now),
    answer: createAnswerer(options, limits),
    log,
  }
  const server = createHttpServer(shared)
  await listen(server, host, port)
  const sockets = createSocketServer(shared, server)
  const { port: boundPort } = server.address() as AddressInfo
  const name = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '[::1]' : host.includes(':') ? `[${host}]` : host
  log.info('rpc listens', { host, port: boundPort })
  return {
    url: `http://${name}:${boundPort}`,
    wsUrl: `ws://${name}:${boundPort}`,
    async close() {
      sockets.close()
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeAllConnections()
      await closed
      log.info('rpc closed', { port: boundPort })
    },
  }
}

/** From bodies to answers: what a connection may ask, transactions to the intake, everything else to the desk. */
function createAnswerer({ desk, intake, log, counts, now = Date.now }: RpcServerOptions, limits: RpcLimits): Shared['answer'] {
  const meters = new WeakMap<object, Meter>()
  const dispatcher = createDispatcher<{ readonly chain: Intake }>({
    methods: intakeMethods,
    limits,
    counts: counts && { counts, now: () => performance.now() },
    onDefect: ({ method, error }) =>
      log.error('rpc method failed', { method, error: String(error), stack: error instanceof Error ? error.stack : undefined }),
  })
  const context = { chain: intake }
  /** Characters of the bodies that are being answered, all connections together. */
  let lengthInFlight = 0

  const meterOf = (connection: object): Meter => {
    const meter = meters.get(connection) ?? { bucket: createTokenBucket(limits.callsPerSec, now), inFlight: 0 }
    meters.set(connection, meter)
    return meter
  }

  return async (text, { connection, client }, subscriber) => {
    const parsed = parseBody(text, limits)
    if (!parsed.ok) return { text: parsed.answer }
    const meter = meterOf(connection)
    const refused = begin(meter, client, parsed.calls, limits) ?? (lengthInFlight > limits.bytesInFlight ? busyText(limits) : undefined)
    if (refused !== undefined) return { text: refused, refused: true }
    meter.inFlight += parsed.calls
    lengthInFlight += text.length
    try {
      const answer = await dispatcher.answer({ parsed: parsed.body, text, answered: 0 }, context, (asked) => desk.answer(asked, subscriber))
      return { text: answer, subscribed: subscriber !== undefined && asksFor(parsed.body, 'eth_subscribe') }
    } finally {
      meter.inFlight -= parsed.calls
      lengthInFlight -= text.length
    }
  }
}

function createHttpServer(shared: Shared): Server {
  const { limits } = shared
  const server = createServer(
    { requestTimeout: limits.requestMs, headersTimeout: limits.requestMs, connectionsCheckingInterval: Math.min(1_000, limits.requestMs) },
    (request, response) => {
      const { origin } = request.headers
      if (origin !== undefined && shared.isOriginAllowed(origin)) allowOrigin(response, origin)
      answerHttp(shared, request).then(
        (answer) => respond(response, answer),
        () => request.destroy(), // the client went away: there is nobody to answer
      )
    },
  )
  server.on('connection', (socket: Socket) => {
    const client = shared.clients.of(socket.remoteAddress, undefined)
    if (client === undefined) return
    if (client.connections >= limits.connectionsOfAddress) return socket.destroy()
    client.connections++
    socket.once('close', () => client.connections--)
  })
  server.keepAliveTimeout = limits.idleMs
  server.setTimeout(2 * limits.idleMs, (socket) => socket.destroy())
  server.maxConnections = limits.connections
  server.maxRequestsPerSocket = 0
  return server
}

function clientOf({ clients }: Shared, { socket, headers }: IncomingMessage): Client | undefined {
  const forwarded = headers['x-forwarded-for']
  return clients.of(socket.remoteAddress, Array.isArray(forwarded) ? forwarded.join(',') : forwarded)
}

/** What an HTTP request gets back. */
type Answer = { readonly status: number; readonly text: string | undefined }

async function answerHttp(shared: Shared, request: IncomingMessage): Promise<Answer> {
  if (!shared.isHostAllowed(request.headers.host)) return refusal(403, 'this host name is not allowed')
  if (request.method === 'OPTIONS') return { status: 204, text: undefined }
  if (request.method === 'GET') return answerGet(shared, request.url)
  if (request.method !== 'POST') return refusal(405, 'calls are made with POST')
  if (!/^application\/json\b/i.test(request.headers['content-type'] ?? '')) return refusal(415, 'the content type is not application/json')
  const { limits } = shared
  const body = await readBody(request, limits.bodyBytes)
  if (body === undefined) return refusal(413, `the body exceeds ${limits.bodyBytes} bytes`)
  const { text, refused } = await shared.answer(body, { connection: request.socket, client: clientOf(shared, request) }, undefined)
  return { status: refused ? 429 : text === undefined ? 204 : 200, text }
}

async function answerGet({ desk }: Shared, path: string | undefined): Promise<Answer> {
  if (path !== '/health' && path !== '/ready') return refusal(404, 'calls are made with POST; GET knows /health and /ready')
  const ready = await desk.isReady() // also for /health: whoever knows the chain has to answer, too
  if (path === '/health') return { status: 200, text: '{"ok":true}' }
  return { status: ready ? 200 : 503, text: JSON.stringify({ ready }) }
}

function refusal(status: number, message: string): Answer {
  return { status, text: errorText(RPC_ERROR.invalidRequest, message) }
}

/** WebSocket connections, taken over from the HTTP server when they ask for it. */
function createSocketServer(shared: Shared, server: Server): { close(): void } {
  const { limits } = shared
  const sockets = new WebSocketServer({ noServer: true, maxPayload: limits.bodyBytes, perMessageDeflate: false, clientTracking: true })
  const isAlive = new WeakMap<WebSocket, boolean>()
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const { host, origin } = request.headers
    if (!shared.isHostAllowed(host) || (origin !== undefined && !shared.isOriginAllowed(origin))) {
      socket.end('HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\n')
      return
    }
    const asker = clientOf(shared, request)
    ;(socket as Socket).setTimeout(0) // from here on silence is judged by pings
    sockets.handleUpgrade(request, socket, head, (client) => {
      isAlive.set(client, true)
      client.on('pong', () => isAlive.set(client, true))
      serve(shared, client, asker)
    })
  })
  const heartbeat = setInterval(() => {
    for (const client of sockets.clients) {
      if (isAlive.get(client) === false) client.terminate()
      isAlive.set(client, false)
      client.ping()
    }
  }, limits.idleMs / 2)
  heartbeat.unref()
  return {
    close() {
      clearInterval(heartbeat)
      for (const client of sockets.clients) client.terminate()
      sockets.close()
    },
  }
}

function serve({ limits, desk, answer, log }: Shared, client: WebSocket, asker: Client | undefined): void {
  const subscriber: Subscriber = {
    send(text) {
      if (client.readyState !== client.OPEN) return
      if (client.bufferedAmount <= limits.unsentBytes) return client.send(text)
      log.info('rpc client reads too slowly', { unsentBytes: client.bufferedAmount })
      client.terminate()
    },
  }
  client.on('message', (message: Buffer) => {
    answer(message.toString('utf8'), { connection: client, client: asker }, subscriber).then(
      ({ text, subscribed }) => {
        if (client.readyState === client.CLOSED) return desk.drop(subscriber) // of what it asked for last, too
        if (text !== undefined) subscriber.send(text)
        if (subscribed) desk.start(subscriber)
      },
      () => client.terminate(), // an answer that cannot be written is a defect, and was told to the log
    )
  })
  client.on('error', () => client.terminate()) // a frame that is none, or larger than allowed
  client.on('close', () => desk.drop(subscriber))
}

/** Why a connection's calls are not taken on, if they are not. */
function begin(meter: Meter, client: Client | undefined, calls: number, limits: RpcLimits): string | undefined {
  if (meter.inFlight > 0 && meter.inFlight + calls > limits.callsInFlight) {
    return errorText(RPC_ERROR.limitExceeded, 'too many calls at once', { code: 'tooManyCalls', max: limits.callsInFlight })
  }
  if (!meter.bucket.take(calls))
    return errorText(RPC_ERROR.limitExceeded, 'too many calls a second', { code: 'rateExceeded', max: limits.callsPerSec })
  if (client?.bucket.take(calls) === false)
    return errorText(RPC_ERROR.limitExceeded, 'too many calls a second from this address', {
      code: 'rateExceeded',
      max: limits.callsPerSecOfAddress,
    })
  return undefined
}

function busyText({ bytesInFlight }: RpcLimits): string {
  return errorText(RPC_ERROR.limitExceeded, 'too much is being answered', { code: 'tooBusy', max: bytesInFlight })
}

/** The body as text, or undefined if it is too large; what is beyond is let go by unread, so that the client can hear why. */
function readBody(request: IncomingMessage, max: number): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let bytes = 0
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes <= max) chunks.push(chunk)
      else {
        chunks.length = 0
        resolve(undefined)
      }
    })
    request.on('end', () => resolve(Buffer.concat(chunks).toString('utf8')))
    request.on('close', () => reject(new Error('the client went away')))
  })
}

function respond(response: ServerResponse, { status, text }: Answer): void {
  response.statusCode = status
  if (text !== undefined) response.setHeader('content-type', 'application/json')
  if (status === 429) response.setHeader('retry-after', '1')
  response.end(text)
}

function allowOrigin(response: ServerResponse, origin: string): void {
  response.setHeader('access-control-allow-origin', origin)
  response.setHeader('access-control-allow-methods', 'POST, GET, OPTIONS')
  response.setHeader('access-control-allow-headers', 'content-type')
  response.setHeader('access-control-max-age', '600')
  response.setHeader('vary', 'origin')
}

/** Whether a Host header names this server by an allowed name; the port does not matter. */
function hostCheck(allowed: readonly string[]): (header: string | undefined) => boolean {
  const names = new Set(allowed.map((name) => name.toLowerCase()))
  return (header) => names.has('*') || (header !== undefined && names.has(header.toLowerCase().replace(/:\d+$/, '')))
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port, backlog: 511 }, () => {
      server.off('error', reject)
      resolve()
    })
  })
}
