/**
 * l1bytes: bytes on L1 of an operation, by kind and by how many share a batch; beside them the bytes as signed, and the same operation as an
 * Ethereum transaction that calls the type's door, through the batch's columns and brotli. Documented in docs/benchmarks.md.
 *
 *     node test/bench/l1bytes.bench.ts [--sizes 1,10,100,500,1000] [--json]
 */
import { bytesToHex, size } from 'viem'
import { claim } from '../../execution/native/claim.ts'
import { doorCallData } from '../../execution/native/native.ts'
import { digits, readOptions, report, textTable, times } from './measure.ts'
import {
  entriesOf,
  NATIVE_KINDS,
  type NativeKind,
  nativeOperation,
  type Signer,
  type Stage,
  seeded,
  signCall,
  signers,
  signNative,
} from './operations.ts'
import { decodedTx, POSTED_CHAIN_ID, postedBytes } from './postedBytes.ts'

const options = readOptions({ sizes: '1,10,100,500,1000' })
const SENDERS = 256
/** Ledger indexes of earners: as of a network with a million accounts. */
const EARNERS = 5_000
const KINDS = [...NATIVE_KINDS, 'claim', 'evmTransfer'] as const
type Kind = (typeof KINDS)[number]

const senders = signers('sender', SENDERS)
const stage: Stage = {
  chainId: POSTED_CHAIN_ID,
  datanetIds: Array.from({ length: 64 }, (_, i) => i + 1),
  modelId: bytesToHex(seeded('model')),
  clients: signers('client', SENDERS),
  earners: Array.from({ length: EARNERS }, (_, i) => 1 + i * 200),
  receivers: senders.map(({ address }) => address),
}

const sizes = options.sizes.split(',').map(Number)
const found = KINDS.map(measureKind)
printResult()

/** Bytes an operation: as signed, and in batches of each size (undefined: more than a batch holds), native and as calls. */
type Found = {
  readonly kind: Kind
  readonly signed: number
  readonly signedCall: number | undefined
  readonly batched: readonly { readonly ops: number; readonly native: number | undefined; readonly call: number | undefined }[]
}

function measureKind(kind: Kind): Found {
  const most = Math.max(...sizes)
  const native = Array.from({ length: most }, (_, i) => operation(kind, i))
  const calls = kind === 'evmTransfer' ? undefined : native.map(toCall)
  const mean = (raws: readonly Uint8Array[]) => raws.reduce((sum, raw) => sum + raw.length, 0) / raws.length
  return {
    kind,
    signed: mean(native),
    signedCall: calls && mean(calls),
    batched: sizes.map((ops) => ({
      ops,
      native: postedBytes(native.slice(0, ops)),
      call: calls && postedBytes(calls.slice(0, ops)),
    })),
  }
}

function operation(kind: Kind, number: number): Uint8Array {
  const sender = turnOf(number)
  const nonce = BigInt(1 + Math.floor(number / SENDERS))
  if (kind === 'claim') {
    const fields = { epochs: [0, 1, 2, 3].map((epoch) => 20_000 + epoch) }
    return signNative({ sender, nonce }, { type: claim, fields, chainId: stage.chainId })
  }
  if (kind === 'evmTransfer') {
    const to = turnOf(number * 7 + 1).address
    return signCall({ sender, nonce }, stage.chainId, { to, valueWei: BigInt(number + 1) * 10n ** 12n, gas: 21_000n })
  }
  return nativeOperation(kind satisfies NativeKind, stage, { number, sender, nonce })
}

/** The call of the door that does the same, signed by the same sender. */
function toCall(raw: Uint8Array, number: number): Uint8Array {
  const tx = decodedTx(raw)
  if (tx.kind !== 'native') throw new Error('only native operations have doors')
  const data = doorCallData(tx.native)
  // The operation, a transaction, and the floor of its call data (EIP-7623).
  const call = { to: tx.native.type.door, data, gas: tx.gas + 21_000n + 40n * BigInt(size(data)) }
  return signCall({ sender: turnOf(number), nonce: tx.native.nonce }, stage.chainId, call)
}

function turnOf(number: number): Signer {
  const sender = senders[number % SENDERS]
  if (!sender) throw new Error('there are no senders')
  return sender
}

function printResult(): void {
  const rows = found.map(({ kind, signed, signedCall, batched }) => {
    const whole = batched.findLast(({ native }) => native !== undefined)
    const both = batched.findLast(({ native, call }) => native !== undefined && call !== undefined)
    const ratio = both?.native && both.call ? `${times(both.call / both.native)} (${both.ops})` : ''
    const credits = entriesOf(kind)
    const cells = batched.map(({ native, call }) => `${show1(native)}${kind === 'evmTransfer' ? '' : ` / ${show1(call)}`}`)
    return [kind, digits(signed), show1(signedCall), ...cells, ratio, credits > 0 && whole?.native ? digits(whole.native / credits) : '']
  })
  const head = [
    ...['kind', 'signed', 'signed call', ...sizes.map((ops) => `${ops} in a batch: native / call`)],
    ...['call to native', 'native, a credit'],
  ]
  const text = `Bytes an operation. –: does not fit into one batch of six blobs.\n\n${textTable(head, rows)}`
  report({ bench: 'l1bytes', json: options.json, text, figures: { kinds: found } })
}

function show1(bytes: number | undefined): string {
  return bytes === undefined ? '–' : digits(bytes)
}
