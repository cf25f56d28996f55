/** `rlp`, `trie` and `ecdsa`: our codec, our trie, our signatures. */
import { createHash } from 'node:crypto'
import secp256k1 from 'secp256k1'
import { bytesToBigInt, bytesToHex, numberToBytes, stringToBytes } from 'viem'
import { attempt, type Cursor, malformed, takeRlpList, takeRlpString } from '../../execution/fields.ts'
import { keccak256 } from '../../execution/keccak.ts'
import { createTrie } from '../../execution/mpt.ts'
import { isLowS, recoverPublicKey } from '../../execution/recover.ts'
import { encodeRlp, type RlpItem } from '../../execution/rlp.ts'
import { type Answer, bytesOf, type EcdsaCase, type RlpCase, type RlpValue, type TrieCase } from './cases.ts'

/** What the bytes hold, encoded again; and what `value` says, which has to be the same. */
export function answerRlp({ decode, value }: RlpCase): Answer {
  const bytes = bytesOf(decode)
  const item = attempt(() => {
    const cursor = { bytes, at: 0, end: bytes.length }
    const read = readItem(cursor)
    if (cursor.at !== cursor.end) malformed()
    return read
  })
  if (item === undefined) return { rejected: 'malformed RLP' }
  const encoded = bytesToHex(encodeRlp(item))
  const told = value === undefined ? encoded : bytesToHex(encodeRlp(itemOf(value)))
  if (told !== encoded) throw new Error(`the bytes hold ${encoded.slice(0, 80)}, the value encodes to ${told.slice(0, 80)}`)
  return { encoded }
}

function readItem(cursor: Cursor): RlpItem {
  if ((cursor.bytes[cursor.at] ?? 0) < 0xc0) return takeRlpString(cursor)
  const list = takeRlpList(cursor)
  const items: RlpItem[] = []
  while (list.at < list.end) items.push(readItem(list))
  return items
}

function itemOf(value: RlpValue): RlpItem {
  if (typeof value === 'number') return bytesOfNumber(BigInt(value))
  if (typeof value !== 'string') return value.map(itemOf)
  if (value.startsWith('#')) return bytesOfNumber(BigInt(value.slice(1)))
  return value.startsWith('0x') ? bytesOf(value) : stringToBytes(value)
}

function bytesOfNumber(value: bigint): Uint8Array {
  return value === 0n ? new Uint8Array() : numberToBytes(value)
}

/** The root after all changes in order; where any order will do, also backwards, which has to give the same. */
export function answerTrie({ secure, anyOrder, pairs }: TrieCase): Answer {
  const root = rootOf(pairs, secure)
  if (anyOrder && rootOf(pairs.toReversed(), secure) !== root) throw new Error('another order gives another root')
  return { root }
}

function rootOf(pairs: TrieCase['pairs'], secure: boolean): string {
  const trie = createTrie()
  for (const [key, value] of pairs) {
    const bytes = secure ? keccak256(textOrHex(key)) : textOrHex(key)
    if (value === null || value === '') trie.delete(bytes)
    else trie.put(bytes, textOrHex(value))
  }
  return bytesToHex(trie.root())
}

function textOrHex(text: string): Uint8Array {
  return text.startsWith('0x') ? bytesOf(text) : stringToBytes(text)
}

/** Whether the signature is the key's, by recovering who signed. */
export function answerEcdsa({ publicKey, msg, sig, form, lowS, hashName = 'sha256' }: EcdsaCase): Answer {
  const signature = form === 'der' ? fromDer(bytesOf(sig)) : fromCompact(bytesOf(sig))
  if (!signature || (lowS && !isLowS(signature.s))) return { valid: false }
  const hash = createHash(hashName).update(bytesOf(msg)).digest()
  const key = bytesToHex(bytesOf(publicKey).subarray(1))
  const recovered = [...candidates(new Uint8Array(hash), signature)]
  return { valid: recovered.some((one) => bytesToHex(one) === key) }
}

type RS = { readonly r: Uint8Array; readonly s: Uint8Array }

/** Every key that can have made the signature: r stands for two points and, if it is small, for two more with r + n (which Ethereum has no v for). */
function* candidates(hash: Uint8Array, { r, s }: RS): Generator<Uint8Array> {
  for (const yParity of [0, 1] as const) {
    const key = recoverPublicKey(hash, { yParity, r, s })
    if (key) yield key
  }
  for (const recoveryId of [2, 3] as const) {
    try {
      yield secp256k1.ecdsaRecover(Uint8Array.from([...r, ...s]), recoveryId, hash, false).subarray(1)
    } catch {
      // no such point
    }
  }
}

function fromCompact(bytes: Uint8Array): RS | undefined {
  return bytes.length === 64 ? { r: bytes.slice(0, 32), s: bytes.slice(32) } : undefined
}

/** Strict DER: SEQUENCE of two INTEGERs, each positive and in its shortest form, and nothing else. */
function fromDer(bytes: Uint8Array): RS | undefined {
  if (bytes[0] !== 0x30 || bytes[1] !== bytes.length - 2 || bytes.length > 72) return undefined
  const rest = { at: 2 }
  const r = derInteger(bytes, rest)
  const s = r && derInteger(bytes, rest)
  return r && s && rest.at === bytes.length ? { r, s } : undefined
}

function derInteger(bytes: Uint8Array, cursor: { at: number }): Uint8Array | undefined {
  const length = bytes[cursor.at + 1] ?? 0
  const from = cursor.at + 2
  const first = bytes[from]
  if (bytes[cursor.at] !== 0x02 || length < 1 || length > 33 || from + length > bytes.length || first === undefined) return undefined
  if (first >= 0x80 || (first === 0 && length > 1 && (bytes[from + 1] ?? 0) < 0x80)) return undefined
  cursor.at = from + length
  const value = bytesToBigInt(bytes.subarray(from, from + length))
  return value < 2n ** 256n ? numberToBytes(value, { size: 32 }) : undefined
}
