/** The devnet preset: what `npm start` runs. Short times, so that a person sees vesting, unbonding and settlement happen. */
import { type ChainParams, OPEN_WEI } from './params.ts'

/** Parameters of a local network. */
export const DEVNET_PARAMS: ChainParams = {
  chainId: 73_571,
  blockGasLimit: 60_000_000n,
  blockBytesMax: 524_288,
  initialBaseFeeWei: 1_000_000_000n,
  minBaseFeeWei: 1_000_000n,
  minBlockIntervalMs: 1_000,
  maxBlockIntervalMs: 1_000,
  epochSec: 5,
  vestingSec: 5,
  prepaidDelaySec: 10,
  unbondingSec: 10,
  workerStakeMinWei: 1_000n * OPEN_WEI,
  protocolBps: 200,
  originLagBlocks: 1,
}

/** What each funded account starts with, on each side. */
export const DEVNET_EVM_WEI = 1_000_000n * OPEN_WEI
export const DEVNET_LEDGER_WEI = 1_000_000n * OPEN_WEI
