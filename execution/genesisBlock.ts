/**
 * State and block 0 of a genesis file: the same file gives the same bytes everywhere.
 * Spec: docs/spec/block.md#genesis
 */
import { Account } from '@ethereumjs/util'
import { bls12_381 } from '@noble/curves/bls12-381.js'
import { bytesToHex, type Hex, hexToBytes, numberToHex, stringToBytes } from 'viem'
import { encodeGenesis, type Genesis, GenesisError, type GenesisValidator } from '../genesis/genesis.ts'
import { RESERVED_FIRST, RESERVED_LAST } from '../genesis/params.ts'
import { PREDEPLOYS } from '../genesis/predeploys.ts'
import { type Block, EMPTY_OMMERS_HASH, EMPTY_REQUESTS_HASH, EMPTY_TRIE_ROOT, encodeTimestamp, type Header, hashHeader } from './block.ts'
import { keccak256 } from './keccak.ts'
import { putGenesisParams } from './ledger/governed.ts'
import { addBalance, putCounters, putEvmExits, putL1Info, putSupply } from './ledger/tables.ts'
import { EMPTY } from './ledger/tree.ts'
import { keyWords, putGenesisValidators, type Validator } from './ledger/validators.ts'
import { createState, type StateReader, type StateRoots, type StateWrites } from './state.ts'

export type GenesisBlock = { readonly block: Block; readonly hash: Hex; readonly roots: StateRoots; readonly writes: StateWrites }

/** Roots of a chain that holds nothing at all. */
export const VOID_ROOTS: StateRoots = { evmRoot: EMPTY_TRIE_ROOT, ledgerRoot: bytesToHex(EMPTY) }

/** Block 0 with everything to store. */
export function createGenesisBlock(genesis: Genesis): GenesisBlock {
  const state = createState(NOTHING, VOID_ROOTS)
  for (let number = RESERVED_FIRST; number <= RESERVED_LAST; number++) state.putAccount(numberToHex(number, { size: 20 }), new Account(1n))
  for (const { address, code } of PREDEPLOYS) {
    state.putAccount(address, new Account(1n))
    state.putCode(address, hexToBytes(code))
  }
  const { ledger } = state
  putCounters(ledger, { accounts: 0, datanets: 0, models: 0, workers: 0, withdrawals: 0n, credits: 0n })
  putGenesisParams(ledger, genesis.params)
  const { origin } = genesis.l1
  putL1Info(ledger, {
    number: origin.number,
    hash: origin.hash,
    timestampSec: origin.timestampSec,
    baseFee: origin.baseFeeWei,
    blobBaseFee: origin.blobBaseFeeWei,
    prevRandao: origin.prevRandao,
    depositCursor: 0n,
  })
  let evmSupply = 0n
  let deposited = 0n
  for (const { address, evmWei, ledgerWei } of genesis.accounts) {
    if (evmWei > 0n) {
      const account = state.account(address)
      account.balance += evmWei
      state.putAccount(address, account)
    }
    addBalance(ledger, address, ledgerWei)
    evmSupply += evmWei
    deposited += evmWei + ledgerWei
  }
  putSupply(ledger, { deposited, withdrawn: 0n, evmSupply })
  putEvmExits(ledger, { perHourWei: genesis.params.evmExitWeiPerHour, usedWei: 0n, atSec: origin.timestampSec })
  if (genesis.params.epochBlocks > 0) putGenesisValidators(ledger, genesis.validators.map(toMember))
  const { roots, writes } = state.seal()
  const header = genesisHeader(genesis, roots)
  return { block: { header, transactions: [] }, hash: hashHeader(header), roots, writes }
}

/** The validator as the ledger has it, with its whole key. Throws GenesisError if the key is none. */
export function toMember({ address, feeRecipient, weight, blsPublicKey }: GenesisValidator): Validator {
  return { validator: address, feeRecipient, weight: BigInt(weight), ...keyWords(decompress(blsPublicKey)) }
}

function decompress(key: Hex): Uint8Array {
  try {
    const point = bls12_381.G1.Point.fromBytes(hexToBytes(key))
    point.assertValidity()
    return point.toBytes(false)
  } catch {
    throw new GenesisError(`genesis file: ${key} is no public key`) // noble throws for bytes that are no point of the group, and for nothing else
  }
}

/** Its parent hash is the hash of the file, so that the chain's hashes commit to validators and contracts too. */
function genesisHeader(genesis: Genesis, { evmRoot, ledgerRoot }: StateRoots): Header {
  const { params, timestampMs, l1 } = genesis
  const time = encodeTimestamp(timestampMs)
  return {
    parentHash: bytesToHex(keccak256(stringToBytes(encodeGenesis(genesis)))),
    sha3Uncles: EMPTY_OMMERS_HASH,
    miner: `0x${'00'.repeat(20)}`,
    stateRoot: evmRoot,
    transactionsRoot: EMPTY_TRIE_ROOT,
    receiptsRoot: EMPTY_TRIE_ROOT,
    logsBloom: `0x${'00'.repeat(256)}`,
    difficulty: 0n,
    number: 0n,
    gasLimit: params.blockGasLimit,
    gasUsed: 0n,
    timestamp: time.timestamp,
    extraData: time.extraData,
    mixHash: l1.origin.prevRandao,
    nonce: '0x0000000000000000',
    baseFeePerGas: params.initialBaseFeeWei,
    withdrawalsRoot: ledgerRoot,
    blobGasUsed: 0n,
    excessBlobGas: 0n,
    parentBeaconBlockRoot: l1.origin.hash,
    requestsHash: EMPTY_REQUESTS_HASH,
  }
}

/** Reads of a chain that does not exist yet. */
const NOTHING: StateReader = {
  account: () => undefined,
  slot: () => undefined,
  code: () => undefined,
  trieNode: () => undefined,
  ledgerRecord: () => undefined,
  ledgerEntry: () => undefined,
}
