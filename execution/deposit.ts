/**
 * 0x7e Deposit: what L1 says happens on L2. Made by derivation, signed by nobody.
 * Wire: 0x7e ‖ rlp([sourceHash, from, to, mint, value, gas, isSystemTx, data]). Source: OP Stack specs, deposits.md; spec: docs/spec/block.md
 */
import {
  bytesToHex,
  concatBytes,
  decodeFunctionData,
  encodeFunctionData,
  type Hex,
  hexToBytes,
  numberToBytes,
  parseAbi,
  parseAbiItem,
} from 'viem'
import { DEPOSIT_GAS_COUNTED_MIN, DOOR, SYSTEM_SENDER, TX_TYPE } from '../genesis/params.ts'
import { attempt, type Cursor, malformed, takeRlpList, takeRlpString, takeRlpUint } from './fields.ts'
import { keccak256 } from './keccak.ts'
import type { L1Info } from './ledger/tables.ts'
import { encodeRlp } from './rlp.ts'

export type Deposit = {
  readonly sourceHash: Hex
  readonly from: Hex
  /** Undefined: creates a contract. */
  readonly to: Hex | undefined
  readonly mintWei: bigint
  readonly valueWei: bigint
  readonly gas: bigint
  readonly isSystem: boolean
  readonly data: Hex
}

export const depositedEvent = parseAbiItem('event Deposited(address indexed to, uint96 amount)')
export const validatorChangedEvent = parseAbiItem('event ValidatorChanged(address indexed validator, uint96 weight, uint32 fromEpoch)')
export const l1InfoEvent = parseAbiItem('event L1Info(uint64 indexed number, bytes32 hash)')

const l1InfoAbi = parseAbi([
  'function setL1Info(uint64 number, bytes32 hash, uint64 timestampSec, uint128 baseFee, uint128 blobBaseFee, bytes32 prevRandao, uint64 depositCursor)',
])
const validatorsAbi = parseAbi(['function setValidator(address validator, address feeRecipient, uint96 weight, bytes32[3] key)'])
const ledgerDepositAbi = parseAbi(['function transfer(uint8 kind, address to, uint96 amount)'])

/** A deposit's bytes. */
export function encodeDeposit(deposit: Deposit): Uint8Array {
  const { sourceHash, from, to, mintWei, valueWei, gas, isSystem, data } = deposit
  return encodeRlp([sourceHash, from, to ?? '0x', mintWei, valueWei, gas, isSystem ? 1n : 0n, data], TX_TYPE.deposit)
}

/** The deposit that the bytes are, or undefined. */
export function decodeDeposit(raw: Uint8Array): Deposit | undefined {
  if (raw[0] !== TX_TYPE.deposit) return undefined
  return attempt(() => {
    const outer: Cursor = { bytes: raw, at: 1, end: raw.length }
    const list = takeRlpList(outer)
    if (outer.at !== outer.end) malformed()
    const sourceHash = exactHex(takeRlpString(list), 32)
    const from = exactHex(takeRlpString(list), 20)
    const toBytes = takeRlpString(list)
    const to = toBytes.length === 0 ? undefined : exactHex(toBytes, 20)
    const mintWei = takeRlpUint(list, 96)
    const valueWei = takeRlpUint(list, 96)
    const gas = takeRlpUint(list, 64)
    const isSystem = takeRlpUint(list, 1 << 3)
    if (isSystem > 1n) malformed()
    const data = bytesToHex(takeRlpString(list))
    if (list.at !== list.end) malformed()
    return { sourceHash, from, to, mintWei, valueWei, gas, isSystem: isSystem === 1n, data }
  })
}

/** What a deposit counts towards the bound of a block: at least as much as the portal's meter takes for it on L1. */
export function countedGas({ gas }: Deposit): bigint {
  return gas > DEPOSIT_GAS_COUNTED_MIN ? gas : DEPOSIT_GAS_COUNTED_MIN
}

/** Source hash of a user's deposit: its log's place on L1. */
export function userDepositSourceHash({ l1BlockHash, logIndex }: { readonly l1BlockHash: Hex; readonly logIndex: number }): Hex {
  const place = keccak256(concatBytes([hexToBytes(l1BlockHash), numberToBytes(logIndex, { size: 32 })]))
  return bytesToHex(keccak256(concatBytes([numberToBytes(0, { size: 32 }), place])))
}

/** The L1 info deposit that opens the first block of an origin. */
export function l1InfoDeposit(info: L1Info): Deposit {
  const place = keccak256(concatBytes([hexToBytes(info.hash), numberToBytes(info.number, { size: 32 })]))
  const { number, hash, timestampSec, baseFee, blobBaseFee, prevRandao, depositCursor } = info
  return {
    sourceHash: bytesToHex(keccak256(concatBytes([numberToBytes(1, { size: 32 }), place]))),
    from: SYSTEM_SENDER,
    to: DOOR.ledger,
    mintWei: 0n,
    valueWei: 0n,
    gas: 0n,
    isSystem: true,
    data: encodeFunctionData({ abi: l1InfoAbi, args: [number, hash, timestampSec, baseFee, blobBaseFee, prevRandao, depositCursor] }),
  }
}

/** What an L1 info deposit says, or undefined if it is none. */
export function parseL1Info(deposit: Deposit): L1Info | undefined {
  if (!deposit.isSystem || deposit.from !== SYSTEM_SENDER || deposit.to !== DOOR.ledger) return undefined
  const call = decodeCall(l1InfoAbi, deposit.data)
  if (!call) return undefined
  const [number, hash, timestampSec, baseFee, blobBaseFee, prevRandao, depositCursor] = call.args
  return { number, hash, timestampSec, baseFee, blobBaseFee, prevRandao, depositCursor }
}

/** What the registry says of a validator: what it is to be from the next epoch on. Weight 0: none. */
export type ValidatorChange = {
  readonly validator: Hex
  readonly feeRecipient: Hex
  readonly weight: bigint
  /** x ‖ y of the public key, in three words. L1 checked that the validator holds it. */
  readonly key: readonly [Hex, Hex, Hex]
}

/** What a deposit to VALIDATORS says, which only the registry sends; undefined if it says nothing that is known here. */
export function parseValidatorChange(deposit: Deposit): ValidatorChange | undefined {
  const call = decodeCall(validatorsAbi, deposit.data)
  if (!call) return undefined
  const [validator, feeRecipient, weight, key] = call.args
  return { validator: validator.toLowerCase() as Hex, feeRecipient: feeRecipient.toLowerCase() as Hex, weight, key }
}

/** Where a deposit to the LEDGER door goes: who gets it, and whether into the prepaid balance. Data that says nothing else: the depositor's balance. */
export function ledgerDepositTarget(deposit: Deposit): { readonly to: Hex; readonly prepaid: boolean } {
  const call = decodeCall(ledgerDepositAbi, deposit.data)
  if (call) {
    const [kind, to, amount] = call.args
    if (amount === deposit.mintWei && (kind === 0 || kind === 2)) return { to: to.toLowerCase() as Hex, prepaid: kind === 2 }
  }
  return { to: deposit.from, prepaid: false }
}

function decodeCall<const A extends typeof l1InfoAbi | typeof ledgerDepositAbi | typeof validatorsAbi>(abi: A, data: Hex) {
  try {
    return decodeFunctionData({ abi, data })
  } catch {
    return undefined // viem throws for data that is no call of the function, and for nothing else
  }
}

function exactHex(bytes: Uint8Array, length: number): Hex {
  return bytes.length === length ? bytesToHex(bytes) : malformed()
}
