/**
 * The ledger's tables: id and record of each, typed. A record's bytes are its fields in packed form (execution/fields.ts).
 * Spec: docs/spec/ledger.md#tables, which lists the same lines; table numbers are never reused.
 */
import { type AbiParameter, bytesToHex, type Hex, parseAbiParameters } from 'viem'
import { assert } from '../assert.ts'
import { compileFields, type Fields, type FieldsOf } from '../fields.ts'
import type { Ledger, LedgerReader, RecordForm } from './ledger.ts'

/** How a table's ids and records are written. */
export type TableForm<Id, Record> = {
  readonly number: number
  readonly name: string
  encodeId(id: Id): Uint8Array
  encode(record: Record): Uint8Array
  /** Asserts: nobody else writes there. */
  decode(bytes: Uint8Array): Record
  /** Parameters of the record, for those who print it. */
  readonly record: readonly AbiParameter[]
  readonly id: readonly AbiParameter[]
}

/** A typed window on one table. */
export type Table<Id, Record> = TableForm<Id, Record> & {
  get(ledger: LedgerReader, id: Id): Record | undefined
  put(ledger: Ledger, id: Id, record: Record): void
  delete(ledger: Ledger, id: Id): void
}

function tableForm<const I extends readonly AbiParameter[], const R extends readonly AbiParameter[]>(
  number: number,
  name: string,
  id: I,
  record: R,
  structNames: Readonly<Record<string, string>> = {},
): TableForm<FieldsOf<I>, FieldsOf<R>> {
  const idFields: Fields<FieldsOf<I>> = compileFields(id)
  const recordFields: Fields<FieldsOf<R>> = compileFields(record, structNames)
  return {
    number,
    name,
    id,
    record,
    encodeId: (value) => idFields.pack(value),
    encode: (content) => recordFields.pack(content),
    decode(bytes) {
      const value = recordFields.unpack(bytes)
      if (!value) assert(false, `record of ${name} is malformed: ${bytesToHex(bytes)}`)
      return value
    },
  }
}

function table<const I extends readonly AbiParameter[], const R extends readonly AbiParameter[]>(
  ...parameters: Parameters<typeof tableForm<I, R>>
): Table<FieldsOf<I>, FieldsOf<R>> {
  const own = tableForm<I, R>(...parameters)
  const { number, encodeId, encode, decode } = own
  const form: RecordForm<FieldsOf<I>, FieldsOf<R>> = { number, name: nameBy(own.id), packId: encodeId, pack: encode, unpack: decode }
  return {
    ...own,
    get(ledger, value) {
      if (ledger.getDecoded) return ledger.getDecoded(form, value)
      const bytes = ledger.get(number, encodeId(value))
      return bytes && decode(bytes)
    },
    put: (ledger, value, content) => ledger.setDecoded(form, value, content),
    delete: (ledger, value) => ledger.setDecoded(form, value, undefined),
  }
}

/** What names ids of these parameters: their hex, without packing them first. */
function nameBy(parameters: readonly AbiParameter[]): (id: object) => string {
  const parts = parameters.map(({ name = '', type }, i) => {
    const cut = i === 0 ? 0 : 2 // an address that stands first is a part as it is, whose hash as a key is made once
    if (!type.startsWith('uint')) return (id: object) => (id as Readonly<Record<string, Hex>>)[name]?.slice(cut) ?? ''
    const digitsOf = createDigits(i === 0 ? '0x' : '', Number(type.slice(4)) / 4)
    return (id: object) => {
      const value = (id as Readonly<Record<string, number | bigint>>)[name]
      return value === undefined ? '' : digitsOf(value)
    }
  })
  const [first, second, ...others] = parts
  assert(first, 'an id has a part')
  if (!second) return first
  if (others.length === 0) return (id) => first(id) + second(id)
  return (id) => parts.reduce((name, part) => name + part(id), '')
}

const system = parseAbiParameters('uint8 item')

/** The last three digits of a number. */
const LOW_DIGITS = Array.from({ length: 4_096 }, (_, low) => low.toString(16).padStart(3, '0'))

/** Writes numbers in hex of so many digits, behind `head`. Most begin as the one before did: that is remembered, for each text on the way would be garbage. */
function createDigits(head: string, digits: number): (value: number | bigint) => string {
  let lastHigh = -1
  let lastText = ''
  return (value) => {
    if (typeof value !== 'number' || digits < 3) return head + value.toString(16).padStart(digits, '0')
    const high = Math.floor(value / 4_096)
    if (high !== lastHigh) lastText = head + (high === 0 ? '' : high.toString(16)).padStart(digits - 3, '0')
    lastHigh = high
    return lastText + LOW_DIGITS[value % 4_096]
  }
}

export const supplyTable = table(0x00, 'supply', system, parseAbiParameters('uint128 deposited, uint128 withdrawn, uint128 evmSupply'))
export const countersTable = table(
  0x00,
  'counters',
  system,
  parseAbiParameters('uint32 accounts, uint32 datanets, uint32 models, uint32 workers, uint64 withdrawals, uint64 credits'),
)
export const l1Table = table(
  0x00,
  'l1',
  system,
  parseAbiParameters(
    'uint64 number, bytes32 hash, uint64 timestampSec, uint128 baseFee, uint128 blobBaseFee, bytes32 prevRandao, uint64 depositCursor',
  ),
)
/** What of the allowance for value that leaves the EVM is used: rules read and write it through execution/ledger/evmExits.ts. */
export const evmExitsTable = table(0x00, 'evmExits', system, parseAbiParameters('uint128 perHourWei, uint128 usedWei, uint64 atSec'))
export const accounts = table(
  0x01,
  'accounts',
  parseAbiParameters('address account'),
  parseAbiParameters('uint32 index, uint96 balance, uint96 prepaid, uint64 unlockAt, uint64 nonce'),
)
export const datanets = table(
  0x02,
  'datanets',
  parseAbiParameters('uint32 datanetId'),
  parseAbiParameters(
    'address owner, address curator, uint32 licence, uint8 joinPolicy, uint8 status, uint96 uploadBond, uint32 uploads, uint32 accepted, uint64 records, uint32 retires, bytes32 schemaHash, string name',
  ),
)
export const uploads = table(
  0x03,
  'uploads',
  parseAbiParameters('uint32 datanetId, uint32 uploadIndex'),
  parseAbiParameters(
    'address uploader, bytes32 contentRoot, uint32 recordCount, uint64 byteCount, uint96 bond, uint8 status, uint16 qualityBps, uint64 atSec, bytes contentId, (uint32 account, uint16 shareBps, uint8 role)[] contributors',
  ),
  { contributors: 'Contributor' },
)
export const reviews = table(
  0x04,
  'reviews',
  parseAbiParameters('uint32 datanetId, uint32 uploadIndex'),
  parseAbiParameters('address reviewer, uint8 verdict, uint16 qualityBps, uint8 reason, uint64 atSec'),
)
export const models = table(
  0x05,
  'models',
  parseAbiParameters('bytes32 modelId'),
  parseAbiParameters(
    'uint32 index, address owner, uint32 useFlags, bytes32 baseHash, bytes32 adapterHash, bytes32 tokenizerHash, bytes32 trainingConfigHash, bytes32 runtimeProfileHash, uint96 priceBase, uint96 pricePrompt, uint96 priceOutput, uint16 ownerBps, uint16 workerBps, uint16 contributorBps, uint96 minStake, uint8 maxTier, string name, (uint32 datanetId, bytes32 snapshotRoot, uint32 uploadCount, uint32 recordCount, uint16 weightBps, uint32 retires)[] datanets',
  ),
  { datanets: 'DatanetSnapshot' },
)
export const workers = table(
  0x06,
  'workers',
  parseAbiParameters('address worker'),
  parseAbiParameters(
    'uint32 index, address hotKey, uint96 stake, uint96 unbonding, uint64 unlockAt, uint64 lastSeq, uint32 credits, uint64 liableUntil, bytes32 runtimeProfileHash, string endpoint',
  ),
)
export const draws = table(0x07, 'draws', parseAbiParameters('address client, address worker'), parseAbiParameters('uint96 drawn'))
export const credits = table(
  0x08,
  'credits',
  parseAbiParameters('address worker, uint32 creditIndex'),
  parseAbiParameters(
    'bytes32 modelId, uint64 firstSeq, uint32 count, bytes32 receiptsRoot, bytes32 attributionRoot, uint64 promptTokens, uint64 outputTokens, uint96 fee, uint96 toContributors, uint32 epoch, uint64 atSec, bytes32 entriesHash, bytes32 drawsHash, address hotKey, uint16 protocolBps',
  ),
)
/** What an epoch's accounts earned, sixteen neighbours a record: rules get and put it through execution/ledger/earnings.ts. */
export const earnings = tableForm(
  0x09,
  'earnings',
  parseAbiParameters('uint32 epoch, uint32 group'),
  parseAbiParameters('uint96[] amounts'),
)
export const disputes = table(
  0x0a,
  'disputes',
  parseAbiParameters('address worker, uint32 creditIndex'),
  parseAbiParameters('address challenger, uint8 kind, uint96 slashed, uint96 toContributors, uint64 atSec'),
)
export const withdrawals = table(
  0x0b,
  'withdrawals',
  parseAbiParameters('uint64 withdrawalIndex'),
  parseAbiParameters('address from, address to, uint96 amount, uint64 blockNumber, uint8 fromEvm'),
)
export const paramsTable = table(0x0c, 'params', system, parseAbiParameters('uint64 changedAtBlock, uint128[] current, uint128[] previous'))
export const retires = table(0x0d, 'retires', parseAbiParameters('uint32 datanetId, uint32 n'), parseAbiParameters('uint32 uploadIndex'))
export const maturities = table(0x0e, 'maturities', parseAbiParameters('uint32 epoch'), parseAbiParameters('uint64 atSec'))

const MEMBERS = '(address validator, address feeRecipient, uint96 weight, bytes32 key0, bytes32 key1, bytes32 key2)[] members'

/** What the registry on L1 said last: rules read and write it through execution/ledger/validators.ts. */
export const validatorsTable = table(0x0f, 'validators', system, parseAbiParameters(`uint32 newestEpoch, ${MEMBERS}`), {
  members: 'Validator',
})
/** The validators of an epoch and of those after it, up to the next record. */
export const epochs = table(0x10, 'epochs', parseAbiParameters('uint32 epoch'), parseAbiParameters(`uint32 before, ${MEMBERS}`), {
  members: 'Validator',
})

/** Keys that signed what no correct validator signs, x ‖ y in three words: they are in no set that begins after the block. */
export const convictions = table(
  0x11,
  'convictions',
  parseAbiParameters('bytes32 key0, bytes32 key1, bytes32 key2'),
  parseAbiParameters('address validator, uint8 kind, uint64 height, uint64 blockNumber'),
)

/** Tables that hold many records, by name: what a reader may ask for. */
export const TABLES = {
  accounts,
  datanets,
  uploads,
  reviews,
  models,
  workers,
  draws,
  credits,
  earnings,
  disputes,
  withdrawals,
  retires,
  maturities,
  epochs,
  convictions,
} as const

const SUPPLY = { item: 1 }
const COUNTERS = { item: 2 }
const L1 = { item: 3 }
const EVM_EXITS = { item: 4 }

/** Where the l1 record stands, for proofs of it. */
export const L1_RECORD = { table: l1Table.number, id: l1Table.encodeId(L1) }

export type Supply = NonNullable<ReturnType<typeof supplyTable.get>>
export type Counters = NonNullable<ReturnType<typeof countersTable.get>>
export type L1Info = NonNullable<ReturnType<typeof l1Table.get>>
export type EvmExits = NonNullable<ReturnType<typeof evmExitsTable.get>>
export type Account = NonNullable<ReturnType<typeof accounts.get>>

/** Where all value is: deposited = withdrawn + evmSupply + everything in the ledger. */
export function getSupply(ledger: Ledger): Supply {
  return supplyTable.get(ledger, SUPPLY) ?? { deposited: 0n, withdrawn: 0n, evmSupply: 0n }
}

export function putSupply(ledger: Ledger, supply: Supply): void {
  supplyTable.put(ledger, SUPPLY, supply)
}

/** How many of each kind were ever made: the next index is one more. */
export function getCounters(ledger: Ledger): Counters {
  return countersTable.get(ledger, COUNTERS) ?? { accounts: 0, datanets: 0, models: 0, workers: 0, withdrawals: 0n, credits: 0n }
}

export function putCounters(ledger: Ledger, counters: Counters): void {
  countersTable.put(ledger, COUNTERS, counters)
}

/** What the chain last heard of L1. Genesis writes the first. */
export function getL1Info(ledger: LedgerReader): L1Info {
  const info = l1Table.get(ledger, L1)
  assert(info, 'the ledger has no L1 info')
  return info
}

export function putL1Info(ledger: Ledger, info: L1Info): void {
  l1Table.put(ledger, L1, info)
}

/** The allowance for value that leaves the EVM. Genesis writes the first record, whose `perHourWei` no rule changes. */
export function getEvmExits(ledger: LedgerReader): EvmExits {
  const exits = evmExitsTable.get(ledger, EVM_EXITS)
  assert(exits, 'the ledger has no allowance for value that leaves the EVM')
  return exits
}

export function putEvmExits(ledger: Ledger, exits: EvmExits): void {
  evmExitsTable.put(ledger, EVM_EXITS, exits)
}

/** The account, or what an unused one looks like (index 0: none given out yet). */
export function getAccount(ledger: Ledger, account: Hex): Account {
  return accounts.get(ledger, { account }) ?? { index: 0, balance: 0n, prepaid: 0n, unlockAt: 0n, nonce: 0n }
}

/** Writes an account, giving it its index at first use. Returns the index. */
export function putAccount(ledger: Ledger, account: Hex, content: Account): number {
  if (content.index !== 0) {
    accounts.put(ledger, { account }, content)
    return content.index
  }
  const counters = getCounters(ledger)
  const index = counters.accounts + 1
  putCounters(ledger, { ...counters, accounts: index })
  accounts.put(ledger, { account }, { ...content, index })
  return index
}

/** The account's index, given out now if it had none. */
export function indexOf(ledger: Ledger, account: Hex): number {
  const known = getAccount(ledger, account)
  return known.index !== 0 ? known.index : putAccount(ledger, account, known)
}

/** Adds to an account's balance. */
export function addBalance(ledger: Ledger, account: Hex, amountWei: bigint): void {
  if (amountWei === 0n) return
  const known = getAccount(ledger, account)
  putAccount(ledger, account, { ...known, balance: known.balance + amountWei })
}
