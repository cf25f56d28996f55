/**
 * A signer: holds a validator's key and its own guard, and signs for whoever knows the token what the guard allows. Nodes may be many, wrong or lost: the
 * guard is on disk before a signature leaves, and questions are answered one at a time. Spec: docs/spec/signer.md#the-remote-signer
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { existsSync, lstatSync, unlinkSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, createConnection } from 'node:net'
import { bytesToHex } from 'viem'
import { sign } from '../consensus/bls.ts'
import { checkpointDigest, helloDigest } from '../consensus/digest.ts'
import { checkSignFor } from '../consensus/signerGuard.ts'
import { checkpointHash } from '../settlement/checkpoint.ts'
import type { CheckpointGuardFile } from './checkpointGuardFile.ts'
import { KeyError, type ValidatorKey } from './keys.ts'
import { errorFacts, type Log } from './log.ts'
import type { SignerGuardFile } from './signerGuardFile.ts'
import {
  decodeCheckpointQuestion,
  decodeHelloQuestion,
  decodeSignQuestion,
  SIGNER_BODY_BYTES_MAX,
  type SignerAddress,
} from './signerWire.ts'

const CONNECTIONS_MAX = 64
/** Questions that are read or answered at one time. */
const QUESTIONS_MAX = 16
const HEADER_BYTES_MAX = 4_096
const REQUEST_MS = 5_000
const IDLE_MS = 60_000
/** A refusal of one kind is logged once in this time; the metrics count all. */
const LOG_EVERY_MS = 1_000

export type SignerServerOptions = {
  readonly key: ValidatorKey
  readonly chainId: number
  readonly token: string
  /** Port 0: any free one. */
  readonly address: SignerAddress
  readonly guardFile: SignerGuardFile
  readonly checkpointGuard: CheckpointGuardFile
  readonly log: Log
  nowMs(): number
  /** The guard cannot be written: the process must end, and nothing is signed any more. */
  onFatal(error: unknown): void
}

export type SignerServer = {
  /** What a node takes as --signer. */
  readonly url: string
  close(): Promise<void>
}

type Answer = { readonly status: number; readonly body: Readonly<Record<string, unknown>> | string }

/** Listens. Throws KeyError where it may not. */
export async function startSignerServer(options: SignerServerOptions): Promise<SignerServer> {
  const { address, token, log } = options
  const tokenHash = hashToken(token)
  const counts = new Map<string, number>()
  const logged = new Map<string, number>()
  const count = (name: string) => counts.set(name, (counts.get(name) ?? 0) + 1)
  const warn = (code: string, facts: Readonly<Record<string, unknown>>) => {
    const now = options.nowMs()
    if (now - (logged.get(code) ?? -LOG_EVERY_MS) < LOG_EVERY_MS) return
    logged.set(code, now)
    log.warn('the signer refuses', { code, ...facts })
  }
  const ask = createAnswers(options, { count, warn })
  let open = 0

  async function answer(request: IncomingMessage): Promise<Answer> {
    const given = /^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1] ?? ''
    if (!timingSafeEqual(hashToken(given), tokenHash)) return refuse(401, 'badToken')
    if (request.method === 'GET' && request.url === '/metrics') return { status: 200, body: metricsText(counts) }
    if (open >= QUESTIONS_MAX) return refuse(503, 'busy')
    open++
    try {
      const body = await readBody(request)
      return body === undefined ? refuse(413, 'oversize') : ask(`${request.method} ${request.url}`, body)
    } finally {
      open--
    }
  }

  function refuse(status: number, code: string): Answer {
    count(`refused_total{code="${code}"}`)
    warn(code, {})
    return { status, body: { code } }
  }

  const limits = {
    requestTimeout: REQUEST_MS,
    headersTimeout: REQUEST_MS,
    connectionsCheckingInterval: 1_000,
    maxHeaderSize: HEADER_BYTES_MAX,
  }
  const server = createServer(limits, (request, response) => {
    answer(request).then(
      (answered) => respond(response, answered),
      () => request.destroy(), // whoever asked went away
    )
  })
  server.maxConnections = CONNECTIONS_MAX
  server.keepAliveTimeout = IDLE_MS
  const url = await listen(server, address)
  return {
    url,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

type Tally = { count(name: string): void; warn(code: string, facts: Readonly<Record<string, unknown>>): void }

/** Answers a question whose body is read: at once, so that no other comes between its check and its guard. */
function createAnswers({ key, chainId, guardFile, checkpointGuard, onFatal, log }: SignerServerOptions, { count, warn }: Tally) {
  let broken = false

  function answerSign(body: string): Answer {
    const question = decodeSignQuestion(body)
    if (!question) return refused(400, 'badQuestion', {})
    const { statement, domain } = question
    const { kind, height, round } = statement
    if (domain.chainId !== chainId) return refused(409, 'otherChain', { chainId: domain.chainId })
    const verdict = checkSignFor(guardFile.read(), statement, domain)
    if (!verdict.ok) {
      const { last } = verdict.guard
      return refused(409, verdict.code, { kind, height, round, last: { kind: last.kind, height: last.height, round: last.round } })
    }
    try {
      guardFile.write(verdict.guard)
    } catch (error) {
      return failed(error)
    }
    count(`signed_total{kind="${kind}"}`)
    return { status: 200, body: { signature: bytesToHex(sign(key.secret, verdict.digest)) } }
  }

  function answerCheckpoint(body: string): Answer {
    const question = decodeCheckpointQuestion(body)
    if (!question) return refused(400, 'badQuestion', {})
    const { checkpoint, domain } = question
    if (question.chainId !== chainId) return refused(409, 'otherChain', { chainId: question.chainId })
    try {
      const verdict = checkpointGuard.check(checkpoint)
      if (!verdict.ok) return refused(409, verdict.code, { lastBlock: Number(checkpoint.lastBlock) })
    } catch (error) {
      return failed(error)
    }
    count('signed_total{kind="checkpoint"}')
    return { status: 200, body: { signature: bytesToHex(sign(key.secret, checkpointDigest(domain, checkpointHash(checkpoint)))) } }
  }

  /** The disk does not take a guard: what is on it is not known. */
  function failed(error: unknown): Answer {
    broken = true
    log.error('the guard cannot be written', errorFacts(error))
    onFatal(error)
    return refused(500, 'guardFailed', {})
  }

  function answerHello(body: string): Answer {
    const question = decodeHelloQuestion(body)
    if (!question) return refused(400, 'badQuestion', {})
    count('signed_total{kind="hello"}')
    return { status: 200, body: { signature: bytesToHex(sign(key.secret, helloDigest(question.genesisHash, question.peerId))) } }
  }

  function refused(status: number, code: string, facts: Readonly<Record<string, unknown>>): Answer {
    count(`refused_total{code="${code}"}`)
    warn(code, facts)
    return { status, body: { code, ...facts } }
  }

  return (route: string, body: string): Answer => {
    if (broken) return refused(500, 'guardFailed', {})
    switch (route) {
      case 'GET /key':
        return { status: 200, body: { publicKey: key.publicKey, chainId } }
      case 'POST /sign':
        return answerSign(body)
      case 'POST /checkpoint':
        return answerCheckpoint(body)
      case 'POST /hello':
        return answerHello(body)
      default:
        return refused(404, 'unknownRoute', {})
    }
  }
}

/** The body, or undefined if it is too long. Rejects if it does not come to its end. */
async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request) {
    const bytes: Buffer = chunk
    size += bytes.length
    if (size > SIGNER_BODY_BYTES_MAX) return undefined
    chunks.push(bytes)
  }
  return Buffer.concat(chunks).toString()
}

function respond(response: ServerResponse, { status, body }: Answer): void {
  const isText = typeof body === 'string'
  const bytes = Buffer.from(isText ? body : JSON.stringify(body))
  response.writeHead(status, {
    'content-type': isText ? 'text/plain; version=0.0.4' : 'application/json',
    'content-length': bytes.length,
    ...(status === 401 || status === 413 ? { connection: 'close' } : {}), // what else is in the connection is not wanted
  })
  response.end(bytes)
}

/** Counts in the text form of Prometheus. */
function metricsText(counts: ReadonlyMap<string, number>): string {
  const lines = [...counts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => `tributary_signer_${name} ${value}\n`)
  return ['signed_total', 'refused_total']
    .map((name) => `# TYPE tributary_signer_${name} counter\n`)
    .concat(lines)
    .join('')
}

function hashToken(token: string): Uint8Array {
  return createHash('sha256').update(token).digest()
}

async function listen(server: Server, address: SignerAddress): Promise<string> {
  if (address.kind === 'https')
    throw new KeyError('a signer speaks no TLS of its own: it listens on loopback or a socket, behind a proxy that does')
  const place = address.kind === 'socket' ? { path: address.path } : { host: address.host, port: address.port }
  if (address.kind === 'socket') await removeDeadSocket(address.path)
  const mask = process.umask(0o177) // a socket is for its owner alone from its first moment
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(place, () => {
        server.off('error', reject)
        resolve()
      })
    })
  } finally {
    process.umask(mask)
  }
  if (address.kind === 'socket') return `unix:${address.path}`
  const { port, family, address: host } = server.address() as AddressInfo
  return `http://${family === 'IPv6' ? `[${host}]` : host}:${port}`
}

/** Takes away the socket of a signer that was killed. Throws KeyError if somebody listens there, or if it is no socket. */
async function removeDeadSocket(path: string): Promise<void> {
  if (!existsSync(path)) return
  if (!lstatSync(path).isSocket()) throw new KeyError(`${path} is there already, and is no socket`)
  const isAlive = await new Promise<boolean>((resolve) => {
    const probe = createConnection({ path })
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', () => resolve(false))
  })
  if (isAlive) throw new KeyError(`somebody listens on ${path} already`)
  unlinkSync(path)
}
