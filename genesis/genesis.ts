/**
 * Genesis files: what a network agrees on before its first block, as JSON. The file is published once on L1, byte for byte, so that L1 alone is
 * enough to rebuild the chain. execution/genesisBlock.ts makes the state and block 0 of it.
 * Spec: docs/spec/block.md#genesis
 */
import type { Hex } from 'viem'
import { forksToJson, readForks } from './forks.ts'
import { checkGoverned } from './governed.ts'
import { AMOUNT_MAX_WEI, BLOCK_BYTES_LIMIT, type ChainParams, VALIDATORS_MAX } from './params.ts'

/** A validator as the network starts. L1's registry says who they are later. */
export type GenesisValidator = {
  readonly address: Hex
  /** Compressed BLS12-381 G1 key, 48 bytes. */
  readonly blsPublicKey: Hex
  readonly weight: number
  readonly feeRecipient: Hex
}

/** Balances in wei. */
export type GenesisAccount = { readonly address: Hex; readonly evmWei: bigint; readonly ledgerWei: bigint }

/** Where L1 is, and the L1 block that is the origin of block 0. */
export type GenesisL1 = {
  readonly chainId: number
  readonly openToken: Hex
  readonly portal: Hex
  readonly inbox: Hex
  readonly systemConfig: Hex
  readonly checkpointManager: Hex
  readonly validatorRegistry: Hex
  readonly bridge: Hex
  readonly fraudVerifier: Hex
  readonly origin: {
    readonly number: bigint
    readonly hash: Hex
    readonly timestampSec: bigint
    readonly baseFeeWei: bigint
    readonly blobBaseFeeWei: bigint
    readonly prevRandao: Hex
  }
}

export type Genesis = {
  readonly params: ChainParams
  readonly timestampMs: number
  readonly l1: GenesisL1
  readonly validators: readonly GenesisValidator[]
  readonly accounts: readonly GenesisAccount[]
}

/** The file is not a genesis file: where, and what was expected there. */
export class GenesisError extends Error {
  override readonly name = 'GenesisError'
  readonly retryable = false
}

/** The file's text. Big integers are decimal strings; members stand in the order of the types above, so that equal genesis is equal text. */
export function encodeGenesis({ params, timestampMs, l1, validators, accounts }: Genesis): string {
  const ordered = { params: inOrder(PARAM_KINDS, params), forks: forksToJson(params.forks), timestampMs, l1, validators, accounts }
  return `${JSON.stringify(ordered, (_, value) => (typeof value === 'bigint' ? value.toString() : value), 2)}\n`
}

/** Reads a file's text. Throws GenesisError naming the first member that is wrong; unknown members are refused. */
export function decodeGenesis(text: string): Genesis {
  const file = object(parseJson(text), 'file', ['params', 'forks', 'timestampMs', 'l1', 'validators', 'accounts'])
  const params = readParams(file.params, readSchedule(file.forks))
  const l1 = object(file.l1, 'l1', [
    'chainId',
    'openToken',
    'portal',
    'inbox',
    'systemConfig',
    'checkpointManager',
    'validatorRegistry',
    'bridge',
    'fraudVerifier',
    'origin',
  ])
  const origin = object(l1.origin, 'l1.origin', ['number', 'hash', 'timestampSec', 'baseFeeWei', 'blobBaseFeeWei', 'prevRandao'])
  const validators = list(file.validators, 'validators', 1, VALIDATORS_MAX).map((item, i) => readValidator(item, `validators[${i}]`))
  const accounts = list(file.accounts, 'accounts', 0, 100_000).map((item, i) => readAccount(item, `accounts[${i}]`))
  const seen = new Set(accounts.map(({ address }) => address))
  if (seen.size !== accounts.length) fail('accounts', 'each address once')
  return {
    params,
    timestampMs: integer(file.timestampMs, 'timestampMs', 0),
    l1: {
      chainId: integer(l1.chainId, 'l1.chainId', 1),
      openToken: hex(l1.openToken, 'l1.openToken', 20),
      portal: hex(l1.portal, 'l1.portal', 20),
      inbox: hex(l1.inbox, 'l1.inbox', 20),
      systemConfig: hex(l1.systemConfig, 'l1.systemConfig', 20),
      checkpointManager: hex(l1.checkpointManager, 'l1.checkpointManager', 20),
      validatorRegistry: hex(l1.validatorRegistry, 'l1.validatorRegistry', 20),
      bridge: hex(l1.bridge, 'l1.bridge', 20),
      fraudVerifier: hex(l1.fraudVerifier, 'l1.fraudVerifier', 20),
      origin: {
        number: big(origin.number, 'l1.origin.number'),
        hash: hex(origin.hash, 'l1.origin.hash', 32),
        timestampSec: big(origin.timestampSec, 'l1.origin.timestampSec'),
        baseFeeWei: big(origin.baseFeeWei, 'l1.origin.baseFeeWei'),
        blobBaseFeeWei: big(origin.blobBaseFeeWei, 'l1.origin.blobBaseFeeWei'),
        prevRandao: hex(origin.prevRandao, 'l1.origin.prevRandao', 32),
      },
    },
    validators,
    accounts,
  }
}

/** The members of ChainParams, in the file's order, and what each is. */
const PARAM_KINDS = {
  chainId: 'integer',
  blockGasLimit: 'big',
  blockBytesMax: 'integer',
  initialBaseFeeWei: 'big',
  minBaseFeeWei: 'big',
  l1BaseFeeScalar: 'big',
  l1BlobBaseFeeScalar: 'big',
  minBlockIntervalMs: 'integer',
  maxBlockIntervalMs: 'integer',
  epochSec: 'integer',
  vestingSec: 'integer',
  prepaidDelaySec: 'integer',
  unbondingSec: 'integer',
  reviewDelaySec: 'integer',
  workerStakeMinWei: 'big',
  protocolBps: 'integer',
  disputeBondWei: 'big',
  slashEquivocationBps: 'integer',
  slashBadLeafBps: 'integer',
  slashWrongSumBps: 'integer',
  slashAttributionBps: 'integer',
  challengerBps: 'integer',
  evmExitWeiPerHour: 'big',
  originLagBlocks: 'integer',
  epochBlocks: 'integer',
} as const satisfies Record<Exclude<keyof ChainParams, 'forks'>, 'integer' | 'big'>

function readParams(value: unknown, forks: ChainParams['forks']): ChainParams {
  const params = object(value, 'params', Object.keys(PARAM_KINDS))
  const read = Object.fromEntries(
    Object.entries(PARAM_KINDS).map(([name, kind]) => [
      name,
      kind === 'big' ? big(params[name], `params.${name}`) : integer(params[name], `params.${name}`, 0),
    ]),
  ) as unknown as ChainParams
  if (read.chainId < 1) fail('params.chainId', 'a positive integer')
  if (read.epochSec < 1) fail('params.epochSec', 'at least 1')
  if (read.evmExitWeiPerHour < 1n || read.evmExitWeiPerHour > AMOUNT_MAX_WEI) fail('params.evmExitWeiPerHour', 'from 1 wei to an amount')
  if (read.blockBytesMax > BLOCK_BYTES_LIMIT)
    fail('params.blockBytesMax', `at most ${BLOCK_BYTES_LIMIT}: a block must fit into one batch of 6 blobs`)
  const bad = checkGoverned(read)
  if (bad) fail(`params.${bad.name}`, bad.expected)
  return { ...read, forks }
}

function readSchedule(value: unknown): ChainParams['forks'] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return fail('forks', 'an object')
  const read = readForks(value as Readonly<Record<string, unknown>>)
  return read.ok ? read.forks : fail(`forks.${read.name}`, read.expected)
}

function readValidator(value: unknown, at: string): GenesisValidator {
  const item = object(value, at, ['address', 'blsPublicKey', 'weight', 'feeRecipient'])
  return {
    address: hex(item.address, `${at}.address`, 20),
    blsPublicKey: hex(item.blsPublicKey, `${at}.blsPublicKey`, 48),
    weight: integer(item.weight, `${at}.weight`, 1),
    feeRecipient: hex(item.feeRecipient, `${at}.feeRecipient`, 20),
  }
}

function readAccount(value: unknown, at: string): GenesisAccount {
  const item = object(value, at, ['address', 'evmWei', 'ledgerWei'])
  const evmWei = big(item.evmWei, `${at}.evmWei`)
  const ledgerWei = big(item.ledgerWei, `${at}.ledgerWei`)
  if (evmWei > AMOUNT_MAX_WEI || ledgerWei > AMOUNT_MAX_WEI) fail(at, 'amounts below 2^96 wei')
  return { address: hex(item.address, `${at}.address`, 20), evmWei, ledgerWei }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return fail('file', 'JSON')
  }
}

function object(value: unknown, at: string, members: readonly string[]): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return fail(at, 'an object')
  const unknown = Object.keys(value).find((name) => !members.includes(name))
  if (unknown !== undefined) fail(`${at}.${unknown}`, `none of this name; known are ${members.join(', ')}`)
  return value as Readonly<Record<string, unknown>>
}

function list(value: unknown, at: string, least: number, most: number): readonly unknown[] {
  if (!Array.isArray(value) || value.length < least || value.length > most) return fail(at, `a list of ${least} to ${most}`)
  return value
}

function integer(value: unknown, at: string, least: number): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < least) return fail(at, `an integer from ${least} up`)
  return value
}

function big(value: unknown, at: string): bigint {
  if (typeof value !== 'string' || !/^(0|[1-9][0-9]{0,77})$/.test(value)) return fail(at, 'a decimal string')
  return BigInt(value)
}

function hex(value: unknown, at: string, bytes: number): Hex {
  if (typeof value !== 'string' || !/^0x[0-9a-f]*$/.test(value) || value.length !== 2 + 2 * bytes)
    return fail(at, `${bytes} bytes as lowercase hex`)
  return value as Hex
}

function inOrder(order: object, value: object): Record<string, unknown> {
  const members = value as Readonly<Record<string, unknown>>
  return Object.fromEntries(Object.keys(order).map((name) => [name, members[name]]))
}

function fail(at: string, expected: string): never {
  throw new GenesisError(`genesis file: ${at} must be ${expected}`)
}
