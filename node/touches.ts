/**
 * What a block's transactions touch, for the address index (node/addressIndex.ts): who sent and who was sent to, contracts that were made, who calls whom
 * within, whom a native transaction or a deposit names, and whose bond a review decides about. Not who gets fees, which is somebody in every transaction,
 * and not the contributors of a credit, who are paid when they claim. Frames are had by executing the block again (`TraceFrames`), where code ran at all.
 * Spec: docs/spec/rpc.md#ots
 */
import { type AbiParameter, type Hex, zeroAddress } from 'viem'
import type { Receipt } from '../execution/block.ts'
import { ledgerDepositTarget, parseValidatorChange } from '../execution/deposit.ts'
import { toHex } from '../execution/hex.ts'
import { createLedger } from '../execution/ledger/ledger.ts'
import { uploads } from '../execution/ledger/tables.ts'
import { OPERATION_TYPES } from '../execution/native/native.ts'
import type { FieldValues, NativeType } from '../execution/native/nativeType.ts'
import type { StateReader } from '../execution/state.ts'
import type { DepositTx, EthereumTx, Tx } from '../execution/tx.ts'
import { DOOR, SYSTEM_SENDER, TX_TYPE, VALIDATORS } from '../genesis/params.ts'
import type { Tracer } from '../rpc/chain.ts'
import type { Made, Touches } from './addressIndex.ts'
import type { DecodedBlock } from './blocks.ts'

/** Executes a block's transactions again, those with a tracer under it; false: the state for it is no longer there. */
export type TraceFrames = (block: DecodedBlock, tracerOf: (index: number) => Tracer | undefined, last: number) => Promise<boolean>

/** What each of a block's transactions touches. Without the state of the block's parent it is told without what contracts do. */
export async function touchesOf(
  at: DecodedBlock,
  { reader, trace }: { readonly reader: Pick<StateReader, 'ledgerRecord'>; readonly trace: TraceFrames },
): Promise<readonly Touches[]> {
  const ledger = createLedger(reader.ledgerRecord)
  /** Uploads are never forgotten, and whose they are never changes. */
  const uploaderOf: UploaderOf = (datanetId, uploadIndex) => uploads.get(ledger, { datanetId, uploadIndex })?.uploader
  const frames = await framesOf(at, trace)
  const touches = at.transactions.map((tx, index) => touchesOfTx(tx, at.receipts[index], frames.get(index), uploaderOf))
  // What contracts asked of doors names people as native transactions do.
  for (const { txIndex, operation } of at.operations) {
    const own = touches[txIndex]
    if (own) namedBy(operation, uploaderOf, own.touched)
  }
  return touches
}

type UploaderOf = (datanetId: number, uploadIndex: number) => Hex | undefined
type OwnTouches = Touches & { readonly touched: Hex[] }

function touchesOfTx(tx: Tx, receipt: Receipt | undefined, frames: Frames | undefined, uploaderOf: UploaderOf): OwnTouches {
  if (tx.kind === 'native') {
    const { native, sender } = tx
    const touched: Hex[] = [sender, native.type.door]
    namedBy(native, uploaderOf, touched)
    return { touched, sent: { lane: 'native', sender, nonce: native.nonce }, made: [] }
  }
  if (tx.kind === 'report') return { touched: [SYSTEM_SENDER, VALIDATORS, ...convictedIn(receipt)], sent: undefined, made: [] }
  const touched: Hex[] = [tx.sender]
  const to = recipientOf(tx) ?? receipt?.contractAddress
  if (to) touched.push(to)
  if (frames) touched.push(...frames.touched)
  const made = frames?.made ?? []
  if (tx.kind === 'ethereum') return { touched, sent: { lane: 'ethereum', sender: tx.sender, nonce: tx.tx.nonce }, made }
  if (to === DOOR.ledger && tx.sender !== SYSTEM_SENDER) touched.push(ledgerDepositTarget(tx.deposit).to)
  const change = to === VALIDATORS ? parseValidatorChange(tx.deposit) : undefined
  if (change) touched.push(change.validator, change.feeRecipient)
  return { touched, sent: undefined, made }
}

function recipientOf(tx: EthereumTx | DepositTx): Hex | undefined {
  if (tx.kind === 'deposit') return tx.deposit.to
  return tx.tx.to && toHex(tx.tx.to.bytes)
}

/** Whom the log of a conviction names. */
function convictedIn(receipt: Receipt | undefined): Hex[] {
  return (receipt?.logs ?? []).flatMap(({ topics }) => (topics[1] ? [`0x${topics[1].slice(26)}` as Hex] : []))
}

/** Adds whom a native transaction, or a call of a door, names. */
function namedBy(
  { type, fields }: { readonly type: NativeType; readonly fields: FieldValues },
  uploaderOf: UploaderOf,
  found: Hex[],
): void {
  if (type.byte === TX_TYPE.datanetReview) {
    const uploader = uploaderOf(Number(fields.datanetId), Number(fields.uploadIndex))
    if (uploader) found.push(uploader)
    return
  }
  ADDRESSES_IN.get(type.byte)?.(fields, found)
}

type Collect = (value: unknown, found: Hex[]) => void

/** What finds the addresses among a type's fields. */
const ADDRESSES_IN: ReadonlyMap<number, Collect> = new Map(
  OPERATION_TYPES.map(({ byte, fields }) => [byte, collectMembers(fields.parameters) ?? (() => {})]),
)

function collectMembers(parameters: readonly AbiParameter[]): Collect | undefined {
  const members = parameters.flatMap((parameter) => {
    const collect = collectIn(parameter)
    return collect ? [{ name: parameter.name ?? '', collect }] : []
  })
  if (members.length === 0) return undefined
  return (value, found) => {
    for (const { name, collect } of members) collect((value as FieldValues)[name], found)
  }
}

function collectIn(parameter: AbiParameter): Collect | undefined {
  if (parameter.type.endsWith('[]')) {
    const collect = collectIn({ ...parameter, type: parameter.type.slice(0, -2) })
    return (
      collect &&
      ((list, found) => {
        for (const item of list as readonly unknown[]) collect(item, found)
      })
    )
  }
  if (parameter.type === 'tuple') return collectMembers('components' in parameter ? parameter.components : [])
  if (parameter.type !== 'address') return undefined
  // Zero says that there is nobody.
  return (address, found) => {
    if (address !== zeroAddress) found.push(address as Hex)
  }
}

/** What the frames of a transaction touched, and made where nothing undid it. */
type Frames = { readonly touched: readonly Hex[]; readonly made: readonly Made[] }

const NO_FRAMES: ReadonlyMap<number, Frames> = new Map()

async function framesOf(at: DecodedBlock, trace: TraceFrames): Promise<ReadonlyMap<number, Frames>> {
  const watched = new Map<number, ReturnType<typeof createFrameTracer>>()
  for (const [index, tx] of at.transactions.entries()) if (ranCode(tx, at.receipts[index])) watched.set(index, createFrameTracer())
  const last = [...watched.keys()].at(-1)
  if (last === undefined) return NO_FRAMES
  const isTold = await trace(at, (index) => watched.get(index)?.tracer, last)
  return isTold ? new Map([...watched].map(([index, { frames }]) => [index, frames])) : NO_FRAMES
}

/** Whether code may have run: what takes the gas of a plain transfer alone ran none that calls anybody. */
function ranCode(tx: Tx, receipt: Receipt | undefined): boolean {
  if (tx.kind === 'ethereum') return tx.tx.to === undefined || receipt?.gasUsed !== PLAIN_GAS
  if (tx.kind !== 'deposit' || tx.deposit.to === DOOR.ledger || tx.deposit.to === VALIDATORS) return false
  return tx.deposit.to === undefined || receipt?.gasUsed !== PLAIN_GAS
}

const PLAIN_GAS = 21_000n

function createFrameTracer(): { readonly tracer: Tracer; readonly frames: Frames } {
  const touched: Hex[] = []
  const made: Made[] = []
  const seen = new Set<Hex>()
  /** Of open frames: what they make, and how much was made before. */
  const open: { readonly making: Made | undefined; readonly madeBefore: number }[] = []
  const touch = (address: Hex) => {
    if (seen.has(address)) return
    seen.add(address)
    touched.push(address)
  }
  const tracer: Tracer = {
    enter({ kind, from, to }) {
      touch(from)
      touch(to)
      const isCreation = kind === 'CREATE' || kind === 'CREATE2'
      open.push({ making: isCreation ? { contract: to, maker: from } : undefined, madeBefore: made.length })
    },
    exit({ error }) {
      const frame = open.pop()
      if (!frame) return
      if (error !== undefined) made.length = frame.madeBefore
      else if (frame.making) made.push(frame.making)
    },
    result: () => null,
  }
  return { tracer, frames: { touched, made } }
}
