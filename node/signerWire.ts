/**
 * What a validator and its signer say to each other, and where: JSON over HTTP on loopback, a Unix socket, or through a proxy's TLS, with a token that both
 * know. Spec: docs/spec/signer.md#the-remote-signer
 */
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import type { Hex } from 'viem'
import { type CheckpointDomain, type Domain, NIL, type Statement } from '../consensus/digest.ts'
import { ROUND_MAX } from '../consensus/wire.ts'
import type { Checkpoint } from '../settlement/checkpoint.ts'
import { UsageError } from './config.ts'
import { KeyError, readSecret, writeSecret } from './keys.ts'

/** Bytes of a question, and of an answer. */
export const SIGNER_BODY_BYTES_MAX = 1_024

const TOKEN_PATTERN = /^[\x21-\x7e]{32,256}$/
const PEER_ID_PATTERN = /^[1-9A-HJ-NP-Za-km-z]{1,128}$/

/** What checkpoint is to be signed, for which manager, and of which rollup. */
export type CheckpointQuestion = { readonly checkpoint: Checkpoint; readonly domain: CheckpointDomain; readonly chainId: number }

/** Where a signer is met. */
export type SignerAddress =
  | { readonly kind: 'socket'; readonly path: string }
  | { readonly kind: 'http' | 'https'; readonly host: string; readonly port: number }

/** What is to be signed: a statement in its domain. */
export type SignQuestion = { readonly statement: Statement; readonly domain: Domain }

/** For whom a hello is to be signed. */
export type HelloQuestion = { readonly genesisHash: Hex; readonly peerId: string }

/**
 * The address that a text is: `unix:/path`, `http://HOST:PORT` with a HOST of this machine, or `https://HOST:PORT`. Throws UsageError: the token and what
 * is signed cross no network in the open.
 */
export function parseSignerAddress(text: string, option: string): SignerAddress {
  const usage = `${option} is unix:/path/of/socket, http://127.0.0.1:PORT or https://HOST:PORT, not ${text}`
  if (text.startsWith('unix:/')) return { kind: 'socket', path: text.slice('unix:'.length) }
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:')) throw new UsageError(usage)
  const isBare = url.pathname === '/' && url.search === '' && url.hash === '' && url.username === '' && url.password === ''
  if (!isBare) throw new UsageError(usage)
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const kind = url.protocol === 'http:' ? 'http' : 'https'
  if (kind === 'http' && !isLoopback(host))
    throw new UsageError(`${option}: http is for this machine alone; put a proxy with TLS before ${host}`)
  return { kind, host, port: url.port === '' ? (kind === 'http' ? 80 : 443) : Number(url.port) }
}

/** True for names and addresses that reach no other machine. */
function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

/** The token in a file, made if there is none and `create`. Throws KeyError. */
export function loadToken(file: string, { create }: { readonly create: boolean }): string {
  if (create && !existsSync(file)) writeSecret(file, `${randomBytes(32).toString('hex')}\n`)
  const token = readSecret(file).trim()
  if (!TOKEN_PATTERN.test(token)) throw new KeyError(`${file} does not hold a token: 32 to 256 characters without spaces`)
  return token
}

/** The body of a question for a signature. */
export function encodeSignQuestion({ statement, domain }: SignQuestion): string {
  const { kind, height, round, validRound, blockHash } = statement
  return JSON.stringify({ chainId: domain.chainId, epoch: domain.epoch, kind, height, round, validRound, blockHash })
}

/** The question that a body is, or undefined: then nobody is asked to sign it. */
export function decodeSignQuestion(body: string): SignQuestion | undefined {
  const members = parseMembers(body)
  if (!members) return undefined
  const { kind, blockHash, chainId, epoch, height, round, validRound } = members
  if (kind !== 'proposal' && kind !== 'prevote' && kind !== 'precommit') return undefined
  if (!isHash(blockHash) || (kind === 'proposal' && blockHash === NIL)) return undefined
  if (!isInteger(chainId, 1, Number.MAX_SAFE_INTEGER) || !isInteger(epoch, 0, 2 ** 32 - 1)) return undefined
  if (!isInteger(height, 1, Number.MAX_SAFE_INTEGER) || !isInteger(round, 0, ROUND_MAX)) return undefined
  if (!isInteger(validRound, -1, kind === 'precommit' || blockHash === NIL ? -1 : round - 1)) return undefined
  return { statement: { kind, height, round, validRound, blockHash }, domain: { chainId, epoch } }
}

/** The body of a question for a hello. */
export function encodeHelloQuestion({ genesisHash, peerId }: HelloQuestion): string {
  return JSON.stringify({ genesisHash, peerId })
}

/** The question that a body is, or undefined. */
export function decodeHelloQuestion(body: string): HelloQuestion | undefined {
  const members = parseMembers(body)
  if (!members) return undefined
  const { genesisHash, peerId } = members
  return isHash(genesisHash) && typeof peerId === 'string' && PEER_ID_PATTERN.test(peerId) ? { genesisHash, peerId } : undefined
}

/** The body of a question for a checkpoint's signature. */
export function encodeCheckpointQuestion({ checkpoint, domain, chainId }: CheckpointQuestion): string {
  const { lastBlock, batchIndex, depositCursor, ...hashes } = checkpoint
  const numbers = { lastBlock: Number(lastBlock), batchIndex: Number(batchIndex), depositCursor: Number(depositCursor) }
  return JSON.stringify({ chainId, ...domain, ...hashes, ...numbers })
}

/** The question that a body is, or undefined: then nobody is asked to sign it. */
export function decodeCheckpointQuestion(body: string): CheckpointQuestion | undefined {
  const members = parseMembers(body)
  if (!members) return undefined
  const { chainId, l1ChainId, manager, lastBlock, blockHash, evmRoot, ledgerRoot, batchIndex, batchAccumulator, depositCursor } = members
  const max = Number.MAX_SAFE_INTEGER
  if (!isInteger(chainId, 1, max) || !isInteger(l1ChainId, 1, max) || !isAddressText(manager)) return undefined
  if (!isInteger(lastBlock, 1, max) || !isInteger(batchIndex, 0, max) || !isInteger(depositCursor, 0, max)) return undefined
  if (!isHash(blockHash) || !isHash(evmRoot) || !isHash(ledgerRoot) || !isHash(batchAccumulator)) return undefined
  const numbers = { lastBlock: BigInt(lastBlock), batchIndex: BigInt(batchIndex), depositCursor: BigInt(depositCursor) }
  return { checkpoint: { blockHash, evmRoot, ledgerRoot, batchAccumulator, ...numbers }, domain: { l1ChainId, manager }, chainId }
}

/** The members of a JSON object, or undefined. */
export function parseMembers(body: string): Readonly<Record<string, unknown>> | undefined {
  let parsed: unknown
  try {
    parsed = JSON.parse(body)
  } catch {
    return undefined // it is not JSON
  }
  return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) ? { ...parsed } : undefined
}

function isHash(value: unknown): value is Hex {
  return typeof value === 'string' && /^0x[0-9a-f]{64}$/.test(value)
}

function isAddressText(value: unknown): value is Hex {
  return typeof value === 'string' && /^0x[0-9a-f]{40}$/.test(value)
}

function isInteger(value: unknown, min: number, max: number): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max
}
