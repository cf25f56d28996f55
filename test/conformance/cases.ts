/**
 * What goes in and out of `npm run conformance`: a case of somebody else's suite a line, an answer a line, in order.
 * The protocol is written down in docs/conformance.md#protocol.
 */

/** One access list entry, one authorization, as GeneralStateTests write them. */
export type AccessEntry = { readonly address: string; readonly storageKeys: readonly string[] }
export type Authorization = {
  readonly chainId: string
  readonly address: string
  readonly nonce: string
  readonly v?: string
  readonly yParity?: string
  readonly r: string
  readonly s: string
}

/** A transaction in JSON, with the key that signs it. Numbers are hex. */
export type JsonTx = {
  readonly nonce: string
  readonly gasPrice?: string
  readonly maxFeePerGas?: string
  readonly maxPriorityFeePerGas?: string
  readonly maxFeePerBlobGas?: string
  readonly blobVersionedHashes?: readonly string[]
  readonly accessList?: readonly AccessEntry[]
  readonly authorizationList?: readonly Authorization[]
  readonly to: string
  readonly data: string
  readonly gasLimit: string
  readonly value: string
  readonly secretKey?: string
}

export type BlobSchedule = { readonly target: string; readonly max: string; readonly baseFeeUpdateFraction: string }

export type StateCase = {
  readonly kind: 'state'
  readonly fork: string
  readonly config?: { readonly chainid?: string; readonly blobSchedule?: Readonly<Record<string, BlobSchedule>> }
  readonly env: Readonly<Record<string, string | undefined>>
  readonly pre: Readonly<Record<string, PreAccount>>
  readonly tx: JsonTx
  readonly txbytes?: string
}
export type PreAccount = {
  readonly nonce: string
  readonly balance: string
  readonly code: string
  readonly storage: Readonly<Record<string, string>>
}
export type TxCase = { readonly kind: 'tx'; readonly fork: string; readonly txbytes: string }
/** `value`: strings, numbers, `#` and a decimal number, lists of these. */
export type RlpValue = string | number | readonly RlpValue[]
export type RlpCase = { readonly kind: 'rlp'; readonly decode: string; readonly value?: RlpValue }
/** Keys and values are hex, or text where they do not begin with 0x. `null` deletes. */
export type TrieCase = {
  readonly kind: 'trie'
  readonly secure: boolean
  readonly anyOrder: boolean
  readonly pairs: readonly (readonly [string, string | null])[]
}
export type PrecompileCase = { readonly kind: 'precompile'; readonly address: number; readonly rule?: string; readonly input: string }
/** `y` is on top of the stack. */
export type ArithCase = { readonly kind: 'arith'; readonly op: string; readonly x: string; readonly y: string }
export type EcdsaCase = {
  readonly kind: 'ecdsa'
  readonly publicKey: string
  readonly msg: string
  readonly sig: string
  readonly form: string
  readonly lowS: boolean
  readonly hashName?: string
}
export type KzgCase = { readonly kind: 'kzg'; readonly method: string; readonly input: Readonly<Record<string, unknown>> }

type Cases = StateCase | TxCase | RlpCase | TrieCase | PrecompileCase | ArithCase | EcdsaCase | KzgCase

/** One line of input. `expect` is for whoever compares: no answer looks at it. */
export type Case = Cases & { readonly id: string; readonly expect?: Readonly<Record<string, unknown>> }

/** The members of an answer besides its `id`. */
export type Answer =
  | Readonly<Record<string, unknown>>
  | { readonly rejected: string; readonly stateRoot?: string; readonly output?: null }
  | { readonly unsupported: string }

/** Bytes of hex, with or without 0x. Throws for anything else: such a case is no case. */
export function bytesOf(hex: string): Uint8Array {
  const digits = hex.startsWith('0x') ? hex.slice(2) : hex
  if (digits.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(digits)) throw new Error(`not hex: ${hex.slice(0, 80)}`)
  return Uint8Array.from(Buffer.from(digits, 'hex'))
}

/** A number of hex digits (none: 0) or decimal ones. */
export function numberOf(text: string | undefined): bigint {
  return text === undefined || text === '' || text === '0x' ? 0n : BigInt(text)
}
