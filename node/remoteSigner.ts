/**
 * A signer in another process, asked over HTTP. One that is away costs votes and never the node: a question is asked again while nothing of a later round
 * is asked for, since a round may wait for just this vote. What comes back is checked before it is believed. Spec: docs/spec/signer.md#the-remote-signer
 */
import { Agent as HttpAgent, type IncomingMessage, type RequestOptions, request as requestHttp } from 'node:http'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Hex, hexToBytes, isHex } from 'viem'
import { type BlsPublicKey, parsePublicKey, verifySignature } from '../consensus/bls.ts'
import { checkpointDigest, helloDigest, statementDigest } from '../consensus/digest.ts'
import type { UnsignedMessage } from '../consensus/message.ts'
import { assert } from '../execution/assert.ts'
import { checkpointHash } from '../settlement/checkpoint.ts'
import type { CheckpointSigner, CheckpointSignerOptions } from './checkpointSigner.ts'
import type { Log } from './log.ts'
import { type KeyParts, SignerError, type SigningDomain, type SigningKey, type ValidatorSigner } from './signer.ts'
import {
  encodeCheckpointQuestion,
  encodeHelloQuestion,
  encodeSignQuestion,
  parseMembers,
  SIGNER_BODY_BYTES_MAX,
  type SignerAddress,
} from './signerWire.ts'

/** One attempt. A signature and a wait for the disk take a few milliseconds. */
const ATTEMPT_MS = 1_000
const PAUSE_MIN_MS = 50
const PAUSE_MAX_MS = 500
/** Questions that wait for the one before. A round has three. */
const WAITING_MAX = 16
const HELLO_MS = 10_000
const CHECKPOINT_MS = 10_000

export type RemoteSignerOptions = {
  readonly address: SignerAddress
  readonly token: string
  readonly chainId: number
  /** How long the signer may be away when the node starts. */
  readonly startMs: number
  readonly log: Log
}

type Slot = Pick<UnsignedMessage, 'height' | 'round'>
type Question = { readonly method: 'GET' | 'POST'; readonly path: string; readonly body: string }
type Answer = { readonly status: number; readonly members: Readonly<Record<string, unknown>> }

/** Asks the signer whose key it holds. Rejects with SignerError if it is not there in time, or signs for another chain. */
export async function openRemoteKey(options: RemoteSignerOptions): Promise<SigningKey> {
  const http = createHttp(options)
  const limits = { deadlineMs: Date.now() + options.startMs, stop: new AbortController().signal }
  const { address, token } = options
  const publicKey = await askKey(createRetries(http.ask, options.log), { chainId: options.chainId, ...limits }).finally(http.close)
  return { publicKey, parts: () => ({ kind: 'remote', publicKey, address, token }) }
}

type RemoteKeyParts = Extract<KeyParts, { readonly kind: 'remote' }>

/** Asks for signatures of the key, and checks each. */
function createAsker({ publicKey, address, token }: RemoteKeyParts, log: Log) {
  const http = createHttp({ address, token })
  const ask = createRetries(http.ask, log)
  const key = keyOf(publicKey)
  return {
    async askSignature(question: Question, digest: Uint8Array, limits: Limits): Promise<Uint8Array> {
      const { signature } = await ask(question, limits)
      const bytes = isHex(signature) && signature.length === 194 ? hexToBytes(signature) : undefined
      if (!bytes || !verifySignature(key, digest, bytes))
        throw new SignerError('badAnswer', 'the signer answered with no signature of its key')
      return bytes
    },
    close: http.close,
  }
}

/** A signer of checkpoints that asks another process: beside its votes, and not before them. */
export function createRemoteCheckpointSigner(parts: RemoteKeyParts, { chainId, domain, log }: CheckpointSignerOptions): CheckpointSigner {
  const { askSignature, close } = createAsker(parts, log)
  const row = createRow()
  return {
    publicKey: parts.publicKey,
    sign(checkpoint) {
      const body = encodeCheckpointQuestion({ checkpoint, domain, chainId })
      const deadlineMs = Date.now() + CHECKPOINT_MS
      const digest = checkpointDigest(domain, checkpointHash(checkpoint))
      return row.runAlone((stop) => askSignature({ method: 'POST', path: '/checkpoint', body }, digest, { deadlineMs, stop }))
    },
    async close() {
      row.close()
      close()
    },
  }
}

/** A signer that asks another process, which held this key when it was asked last. */
export function createRemoteSigner(
  parts: RemoteKeyParts,
  { domain, log }: { readonly domain: SigningDomain; readonly log: Log },
): ValidatorSigner {
  const { publicKey } = parts
  const { askSignature, close } = createAsker(parts, log)
  const row = createRow()

  return {
    publicKey,
    remembers: true,
    sign(message) {
      const domainOf = { chainId: domain.chainId, epoch: domain.epochOf(message.height) }
      const question: Question = { method: 'POST', path: '/sign', body: encodeSignQuestion({ statement: message, domain: domainOf }) }
      return row.run(message, (stop) =>
        askSignature(question, statementDigest(domainOf, message), { deadlineMs: Number.POSITIVE_INFINITY, stop }),
      )
    },
    signHello(genesisHash, peerId) {
      const question: Question = { method: 'POST', path: '/hello', body: encodeHelloQuestion({ genesisHash, peerId }) }
      const deadlineMs = Date.now() + HELLO_MS
      return row.runAlone((stop) => askSignature(question, helloDigest(genesisHash, peerId), { deadlineMs, stop }))
    },
    async close() {
      row.close()
      close()
    },
  }
}

function keyOf(publicKey: Hex): BlsPublicKey {
  const key = parsePublicKey(publicKey)
  assert(key, 'the key of a signer was checked when it was opened')
  return key
}

/** The signer's key. */
async function askKey(
  ask: (question: Question, limits: Limits) => Promise<Answer['members']>,
  { chainId, ...limits }: Limits & { readonly chainId: number },
): Promise<Hex> {
  const { publicKey, chainId: theirs } = await ask({ method: 'GET', path: '/key', body: '' }, limits)
  if (!isHex(publicKey) || publicKey.length !== 98 || !parsePublicKey(publicKey))
    throw new SignerError('badAnswer', 'the signer answered with no BLS public key')
  if (theirs !== chainId) throw new SignerError('refused', `the signer signs for chain ${theirs}, not ${chainId}`)
  return publicKey
}

type Row = {
  /** In its turn; given up for a question of a later round. */
  run(slot: Slot, work: (stop: AbortSignal) => Promise<Uint8Array>): Promise<Uint8Array>
  /** At once. */
  runAlone<T>(work: (stop: AbortSignal) => Promise<T>): Promise<T>
  close(): void
}

/** One question after another, as they came: a precommit may not overtake its prevote, which the signer's guard would refuse then. */
function createRow(): Row {
  type Place = { readonly slot: Slot | undefined; readonly stop: AbortController }
  const places = new Set<Place>()
  let last: Promise<unknown> = Promise.resolve()
  let closed = false

  async function runAt<T>(slot: Slot | undefined, work: (stop: AbortSignal) => Promise<T>): Promise<T> {
    if (closed) throw new SignerError('closed', 'the signer is closed')
    if (places.size >= WAITING_MAX) throw new SignerError('passed', 'too many signatures are waited for')
    const place: Place = { slot, stop: new AbortController() }
    places.add(place)
    try {
      return await work(place.stop.signal)
    } finally {
      places.delete(place)
    }
  }

  return {
    run(slot, work) {
      for (const { slot: earlier, stop } of places)
        if (earlier && isBefore(earlier, slot))
          stop.abort(new SignerError('passed', `height ${slot.height}, round ${slot.round} has begun`))
      const before = last
      const done = runAt(slot, async (stop) => {
        await before.catch(() => {}) // its own asker is told
        return work(stop)
      })
      last = done
      return done
    },
    runAlone: (work) => runAt(undefined, work),
    close() {
      closed = true
      for (const { stop } of places) stop.abort(new SignerError('closed', 'the signer is closed'))
    },
  }
}

function isBefore(a: Slot, b: Slot): boolean {
  return a.height < b.height || (a.height === b.height && a.round < b.round)
}

type Limits = { readonly deadlineMs: number; readonly stop: AbortSignal }

/** Asks until there is an answer, the deadline is over or `stop` says why not. */
function createRetries(askOnce: (question: Question, signal: AbortSignal) => Promise<Answer>, log: Log) {
  let isAway = false
  const tell = (away: boolean, facts: Readonly<Record<string, unknown>>) => {
    if (away === isAway) return
    isAway = away
    if (away) log.warn('the signer does not answer', facts)
    else log.info('the signer answers', facts)
  }
  return async (question: Question, { deadlineMs, stop }: Limits): Promise<Answer['members']> => {
    let pauseMs = PAUSE_MIN_MS
    let cause: unknown
    for (;;) {
      // Ends: with the deadline, or with the next round, which stops it; a turn that fails takes its pause.
      stop.throwIfAborted()
      const leftMs = deadlineMs - Date.now()
      if (leftMs <= 0) throw new SignerError('deadline', 'the signer did not answer in time', { cause })
      try {
        const answer = await askOnce(question, AbortSignal.any([stop, AbortSignal.timeout(Math.min(ATTEMPT_MS, leftMs))]))
        if (answer.status < 500) tell(false, {})
        if (answer.status === 200) return answer.members
        if (answer.status < 500) throw new SignerError('refused', `the signer refuses: ${String(answer.members.code ?? answer.status)}`)
        tell(true, { status: answer.status, code: answer.members.code })
      } catch (error) {
        stop.throwIfAborted()
        if (error instanceof SignerError) throw error
        cause = error
        tell(true, { error: error instanceof Error ? error.message : String(error) })
      }
      await sleep(Math.max(0, Math.min(pauseMs, deadlineMs - Date.now())), undefined, { signal: stop }).catch(() => {}) // the next turn throws its reason
      pauseMs = Math.min(2 * pauseMs, PAUSE_MAX_MS)
    }
  }
}

/** HTTP to one signer over connections that stay open. `ask` rejects if there is no answer. */
function createHttp({ address, token }: Pick<RemoteSignerOptions, 'address' | 'token'>) {
  const sockets = { keepAlive: true, maxSockets: 4, maxFreeSockets: 2 }
  const agent = address.kind === 'https' ? new HttpsAgent(sockets) : new HttpAgent(sockets)
  const place: RequestOptions = address.kind === 'socket' ? { socketPath: address.path } : { host: address.host, port: address.port }
  return {
    ask: ({ method, path, body }: Question, signal: AbortSignal): Promise<Answer> =>
      new Promise((resolve, reject) => {
        const bytes = Buffer.from(body)
        const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'content-length': bytes.length }
        const options: RequestOptions = { ...place, method, path, headers, agent, signal }
        const request = (address.kind === 'https' ? requestHttps : requestHttp)(options, (response) => {
          readAnswer(response).then((members) => resolve({ status: response.statusCode ?? 0, members }), reject)
        })
        request.once('error', reject)
        request.end(bytes)
      }),
    close: () => agent.destroy(),
  }
}

/** The members of an answer; none if it is no JSON object. Rejects if it is too long or ends before its end. */
async function readAnswer(response: IncomingMessage): Promise<Answer['members']> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response) {
    const bytes: Buffer = chunk
    size += bytes.length
    if (size > SIGNER_BODY_BYTES_MAX) throw new Error('the answer is too long')
    chunks.push(bytes)
  }
  return parseMembers(Buffer.concat(chunks).toString()) ?? {}
}
