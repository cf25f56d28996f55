/** The devnet preset: what `npm start` runs. Short times, so that a person sees vesting, unbonding and settlement happen. */
import type { Hex } from 'viem'
import { FIRST_FORK } from './forks.ts'
import { type ChainParams, OPEN_WEI } from './params.ts'

/** Parameters of a local network. */
export const DEVNET_PARAMS: ChainParams = {
  chainId: 73_571,
  blockGasLimit: 60_000_000n,
  blockBytesMax: 750_000,
  initialBaseFeeWei: 1_000_000_000n,
  minBaseFeeWei: 1_000_000n,
  // A byte in a blob takes one blob gas, and the batch's transaction about one gas for each of its bytes, a sixteenth of a byte of call data. An OPEN counts
  // as an ether, as it does in the base fee that a local L1 begins with too.
  l1BaseFeeScalar: 62_500n,
  l1BlobBaseFeeScalar: 1_000_000n,
  minBlockIntervalMs: 200,
  maxBlockIntervalMs: 1_000,
  epochSec: 5,
  vestingSec: 5,
  prepaidDelaySec: 10,
  unbondingSec: 10,
  reviewDelaySec: 60,
  workerStakeMinWei: 1_000n * OPEN_WEI,
  protocolBps: 200,
  disputeBondWei: 10n * OPEN_WEI,
  slashEquivocationBps: 10_000,
  slashBadLeafBps: 1_000,
  slashWrongSumBps: 1_000,
  slashAttributionBps: 500,
  challengerBps: 5_000,
  // All that a funded account has in the EVM, within an hour. A network for value chooses what it can bear to lose of that side in an hour.
  evmExitWeiPerHour: 1_000_000n * OPEN_WEI,
  originLagBlocks: 1,
  epochBlocks: 0,
  forks: FIRST_FORK,
}

/** What each funded account starts with, on each side. */
export const DEVNET_EVM_WEI = 1_000_000n * OPEN_WEI
export const DEVNET_LEDGER_WEI = 1_000_000n * OPEN_WEI

/**
 * The development accounts that every local Ethereum knows, with their keys: money for play on both layers. Never use them elsewhere.
 * Source: the test mnemonic of Hardhat and Foundry.
 */
export const DEVNET_KEYS: readonly Hex[] = [
  '0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80',
  '0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d',
  '0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a',
  '0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6',
  '0x47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a',
  '0x8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba',
  '0x92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e',
  '0x4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356',
]

/** Accounts of the same mnemonic that act for the network on L1: who posts batches, and who submits checkpoints. */
export const DEVNET_POSTER_KEY: Hex = '0xdbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97'
export const DEVNET_SUBMITTER_KEY: Hex = '0x2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6'
