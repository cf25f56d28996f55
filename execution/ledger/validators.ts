/**
 * Who the validators are, epoch by epoch, as the registry on L1 told it through deposits and reports of evidence in blocks. What is said in one epoch
 * counts from the next one on. Three tables: `validators` has one record, who is registered; a record of `epochs` has the set from its epoch on, until the
 * next record; `convictions` has the keys that signed what no correct validator signs, of whom the registry may say what it likes.
 * A network without epochs (`epochBlocks` 0) has no record of either: its validators are the genesis file's. Spec: docs/spec/consensus.md#epochs
 */
import { bytesToHex, concatHex, type Hex, hexToBytes, numberToHex } from 'viem'
import { EVIDENCE_EPOCHS_MAX, VALIDATORS_MAX } from '../../genesis/params.ts'
import { assert } from '../assert.ts'
import { EMPTY_REQUESTS_HASH } from '../block.ts'
import type { ValidatorChange } from '../deposit.ts'
import { type Epochs, epochOf, isLastOfEpoch } from '../epoch.ts'
import { keccak256 } from '../keccak.ts'
import { invalid, type Rejection } from '../native/nativeType.ts'
import type { Report } from '../report.ts'
import { sha256 } from '../sha256.ts'
import type { Ledger, LedgerReader } from './ledger.ts'
import { convictions, epochs, validatorsTable } from './tables.ts'

/** A validator as the ledger has it: x ‖ y of its public key in three words. */
export type Validator = NonNullable<ReturnType<typeof epochs.get>>['members'][number]

/** Type of the request (EIP-7685) by which the last header of an epoch names the next set. */
const VALIDATOR_SET_REQUEST = '0x80'

const RECORD_ID = { item: 1 }

/**
 * The validators of an epoch, in their order; undefined where the network has no epochs. The ledger after the last block before the epoch says it, and so
 * does every later one. Reads a record for each change of the set since.
 */
export function setOfEpoch(ledger: LedgerReader, epoch: number): readonly Validator[] | undefined {
  const known = validatorsTable.get(ledger, RECORD_ID)
  return known && recordUpTo(ledger, known.newestEpoch, epoch).members
}

/** keccak256(epoch u32 ‖ address ‖ feeRecipient ‖ weight u128 ‖ x 48 ‖ y 48 of each): what consensus and L1 call a set. */
export function hashOfSet(epoch: number, validators: readonly Validator[]): Hex {
  const parts = validators.map(({ validator, feeRecipient, weight, key0, key1, key2 }) =>
    concatHex([validator, feeRecipient, numberToHex(weight, { size: 16 }), key0, key1, key2]),
  )
  return bytesToHex(keccak256(hexToBytes(concatHex([numberToHex(epoch, { size: 4 }), ...parts]))))
}

/** The requests' hash of a block's header, from the ledger after its transactions: in the last block of an epoch it names the next set. */
export function nextSetRequestsHash(ledger: LedgerReader, blockNumber: bigint, params: Epochs): Hex {
  if (!isLastOfEpoch(blockNumber, params)) return EMPTY_REQUESTS_HASH
  const epoch = epochOf(blockNumber, params) + 1
  const validators = setOfEpoch(ledger, epoch)
  assert(validators, 'a ledger with epochs has validators')
  return requestsHashOf(hashOfSet(epoch, validators))
}

/** sha256(sha256(0x80 ‖ set hash)): the form of EIP-7685 with one request. contracts/ValidatorRegistry.sol has the same. */
export function requestsHashOf(setHash: Hex): Hex {
  return bytesToHex(sha256(sha256(hexToBytes(concatHex([VALIDATOR_SET_REQUEST, setHash])))))
}

/** A key's 96 bytes as the ledger's three words. */
export function keyWords(key: Uint8Array): Pick<Validator, 'key0' | 'key1' | 'key2'> {
  assert(key.length === 96, 'a key has two coordinates')
  return { key0: bytesToHex(key.subarray(0, 32)), key1: bytesToHex(key.subarray(32, 64)), key2: bytesToHex(key.subarray(64)) }
}

/** Writes the validators of the genesis file, in its order. */
export function putGenesisValidators(ledger: Ledger, members: readonly Validator[]): void {
  validatorsTable.put(ledger, RECORD_ID, { newestEpoch: 0, members: [...members] })
  epochs.put(ledger, { epoch: 0 }, { before: 0, members: [...members] })
}

/**
 * Takes what the registry said in a block of this epoch: the next epoch has the set that it makes, or that of this epoch if nobody is left. False, and
 * nothing changes: there are no epochs, the change is one that the registry never says (nobody leaves, or one comes too many), or the key was convicted.
 */
export function changeValidator(ledger: Ledger, epoch: number, change: ValidatorChange): boolean {
  const known = validatorsTable.get(ledger, RECORD_ID)
  const members = known && withChange(known.members, change)
  if (!members || (change.weight > 0n && isConvicted(ledger, change.key))) return false
  putMembers(ledger, epoch, { newest: known.newestEpoch, members })
  return true
}

/** Whom a report accuses: a validator of the set of its height, and the epoch of that set. */
export type Accused = { readonly ok: true; readonly member: Validator; readonly epoch: number }

/**
 * Whom a report in a block of this number accuses, if a conviction is still possible. Nothing is said of its signatures. Rejections: noEpochs, unknownHeight,
 * evidenceTooOld, unknownValidator, alreadyConvicted.
 */
export function accusedOf(
  ledger: LedgerReader,
  { height, validator }: Report,
  { blockNumber, params }: { readonly blockNumber: bigint; readonly params: Epochs },
): Accused | Rejection {
  if (params.epochBlocks === 0) return invalid('noEpochs')
  if (height === 0n || height >= blockNumber) return invalid('unknownHeight', { height, blockNumber })
  const epoch = epochOf(height, params)
  const now = epochOf(blockNumber, params)
  if (now - epoch > EVIDENCE_EPOCHS_MAX) return invalid('evidenceTooOld', { epoch, now, max: EVIDENCE_EPOCHS_MAX })
  const member = setOfEpoch(ledger, epoch)?.[validator]
  if (!member) return invalid('unknownValidator', { epoch, validator })
  if (isConvicted(ledger, [member.key0, member.key1, member.key2])) return invalid('alreadyConvicted', { validator: member.validator })
  return { ok: true, member, epoch }
}

/**
 * Keeps who was convicted in a block of this number, and takes the key out from the next epoch on. True: it was registered. The set stays as it is where
 * nobody else is registered.
 */
export function convict(
  ledger: Ledger,
  { member, report, blockNumber, params }: { member: Validator; report: Report; blockNumber: bigint; params: Epochs },
): boolean {
  const { validator, key0, key1, key2 } = member
  convictions.put(ledger, { key0, key1, key2 }, { validator, kind: report.kind, height: report.height, blockNumber })
  const known = validatorsTable.get(ledger, RECORD_ID)
  assert(known, 'a ledger with epochs has validators')
  const members = known.members.filter((one) => !hasKey(one, [key0, key1, key2]))
  if (members.length === known.members.length) return false
  putMembers(ledger, epochOf(blockNumber, params), { newest: known.newestEpoch, members })
  return true
}

function isConvicted(ledger: LedgerReader, [key0, key1, key2]: ValidatorChange['key']): boolean {
  return convictions.get(ledger, { key0, key1, key2 }) !== undefined
}

/** Makes the list of who is registered, after a change in this epoch, the set of the next one; that of this epoch if nobody is left. */
function putMembers(ledger: Ledger, epoch: number, { newest, members }: { newest: number; members: readonly Validator[] }): void {
  const next = epoch + 1
  const before = recordUpTo(ledger, newest, epoch)
  epochs.put(ledger, { epoch: next }, { before: before.epoch, members: [...(members.length > 0 ? members : before.members)] })
  validatorsTable.put(ledger, RECORD_ID, { newestEpoch: next, members: [...members] })
}

/** The list after a change: who is in it keeps its place, who comes stands last. Undefined: there is no such change. */
function withChange(
  members: readonly Validator[],
  { validator, feeRecipient, weight, key }: ValidatorChange,
): readonly Validator[] | undefined {
  const place = members.findIndex((one) => one.validator === validator)
  if (weight === 0n) return place === -1 ? undefined : members.toSpliced(place, 1)
  const [key0, key1, key2] = key
  const isTaken = members.some((one, i) => i !== place && hasKey(one, key))
  if (isTaken || (place === -1 && members.length === VALIDATORS_MAX)) return undefined
  const changed = { validator, feeRecipient, weight, key0, key1, key2 }
  return place === -1 ? [...members, changed] : members.with(place, changed)
}

function hasKey({ key0, key1, key2 }: Validator, key: ValidatorChange['key']): boolean {
  return key0 === key[0] && key1 === key[1] && key2 === key[2]
}

/** The record that rules an epoch, and its own epoch. */
function recordUpTo(
  ledger: LedgerReader,
  newest: number,
  epoch: number,
): { readonly epoch: number; readonly members: readonly Validator[] } {
  // Ends: the epoch before a record's is below it, and the first record is of epoch 0.
  for (let at = newest; ; ) {
    const record = epochs.get(ledger, { epoch: at })
    assert(record, 'a set of validators is missing')
    if (at <= epoch) return { epoch: at, members: record.members }
    assert(record.before < at, 'sets of validators do not go back in time')
    at = record.before
  }
}
