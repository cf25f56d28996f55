/**
 * The numbers that every node of a network must agree on. What an operator may tune lives in node/config.ts.
 * A number that a network may choose is a field of `ChainParams` and stands in its genesis file; a number that is part of a
 * wire format is a constant. Spec: docs/spec/.
 */
import type { Hex } from 'viem'
import type { Fork } from './forks.ts'

/** One OPEN in wei; also the unit in which genesis files and people speak. */
export const OPEN_WEI = 10n ** 18n

/** Largest amount any field can carry, in wei: every amount is a uint96 (12 bytes), 79.2 billion OPEN. */
export const AMOUNT_MAX_WEI = 2n ** 96n - 1n

/** Fixed supply of OPEN on L1, in wei. Far below 2^96, so that no sum of balances can overflow an amount. */
export const OPEN_SUPPLY_WEI = 1_000_000_000n * OPEN_WEI

/** First bytes of native transactions. docs/spec/transactions.md#types */
export const TX_TYPE = {
  transfer: 0x50,
  datanetCreate: 0x51,
  datanetUpload: 0x52,
  datanetReview: 0x53,
  modelRegister: 0x54,
  workerRegister: 0x55,
  attributionCredit: 0x56,
  creditDispute: 0x57,
  claim: 0x58,
  /** Of EVM origin only: no transaction starts with it. */
  paramSet: 0x59,
  /** Made by who proposes a block, signed by nobody. docs/spec/transactions.md#0x5a-evidencereport */
  evidenceReport: 0x5a,
  deposit: 0x7e,
} as const

/** Registry doors: precompiles through which the EVM meets the ledger. docs/spec/transactions.md#doors */
export const DOOR = {
  ledger: '0x0000000000000000000000000000000000000a00',
  datanets: '0x0000000000000000000000000000000000000a01',
  models: '0x0000000000000000000000000000000000000a02',
  workers: '0x0000000000000000000000000000000000000a03',
  credits: '0x0000000000000000000000000000000000000a04',
  params: '0x0000000000000000000000000000000000000a05',
} as const satisfies Record<string, Hex>

/** Verifier precompiles: they answer a code and never revert on bad evidence. docs/spec/receipts.md, docs/spec/attribution.md */
export const VERIFIER = {
  receipt: '0x0000000000000000000000000000000000000a10',
  inclusion: '0x0000000000000000000000000000000000000a11',
  attestation: '0x0000000000000000000000000000000000000a12',
  span: '0x0000000000000000000000000000000000000a13',
  longest: '0x0000000000000000000000000000000000000a14',
  shares: '0x0000000000000000000000000000000000000a15',
  p384: '0x0000000000000000000000000000000000000a16',
} as const satisfies Record<string, Hex>

/** Every reserved account; genesis gives each nonce 1, because an empty account that has storage is deleted (EIP-161). */
export const RESERVED_FIRST = 0x0a00
export const RESERVED_LAST = 0x0a1f

/** Highest `blockBytesMax`: a batch of one such block fits 6 blobs. Spec: docs/spec/block.md */
export const BLOCK_BYTES_LIMIT = 750_000

/** Where the base fee of EVM transactions goes, on the EVM side. */
export const FEE_VAULT: Hex = '0x0000000000000000000000000000000000000a1f'

/** Who the validators are to be: the registry on L1 says it in deposits to this account, and reports of evidence in blocks are shown as calls of it. */
export const VALIDATORS: Hex = '0x0000000000000000000000000000000000000a1c'

/** The account that may change governable parameters, by a call of the PARAMS door. Governance's contract will stand there; nobody has its key. */
export const GOVERNOR: Hex = '0x0000000000000000000000000000000000000a1d'

/** Sender of the L1 info deposit. Source: OP Stack specs, deposits.md, "L1 attributes depositor account". */
export const SYSTEM_SENDER: Hex = '0xdeaddeaddeaddeaddeaddeaddeaddeaddead0001'

/** Ledger account that earns the protocol's part of every inference fee and the native base fee. */
export const TREASURY: Hex = '0x0000000000000000000000000000000000000a1e'

/** Where wallets ask what a transaction's bytes cost. Source: OP Stack specs, predeploys.md. */
export const GAS_PRICE_ORACLE: Hex = '0x420000000000000000000000000000000000000f'

/** Predeployed code that tools assume to be there. */
export const DEPLOYMENT_PROXY: Hex = '0x4e59b44847b379578588920ca78fbf26c0b4956c'
export const MULTICALL3: Hex = '0xca11bde05977b3631167028862be2a173976ca11'

/**
 * What a network chooses in its genesis file. Amounts in wei of OPEN, times in the unit of the name. Those listed in genesis/governed.ts may be
 * changed later, by the governor alone; the ledger says what they are now (execution/ledger/governed.ts).
 */
export type ChainParams = {
  readonly chainId: number
  /** Gas that one block may use. */
  readonly blockGasLimit: bigint
  /** Bytes that one block may take on L1, rows and EVM transactions before compression: at most `BLOCK_BYTES_LIMIT`. */
  readonly blockBytesMax: number
  readonly initialBaseFeeWei: bigint
  readonly minBaseFeeWei: bigint
  /** What one byte in a batch costs: wei of OPEN per wei of L1's base fee, and of its blob base fee, in millionths. Spec: docs/spec/transactions.md#fees */
  readonly l1BaseFeeScalar: bigint
  readonly l1BlobBaseFeeScalar: bigint
  /** Milliseconds between blocks: at least (when transactions wait) and at most (when idle). */
  readonly minBlockIntervalMs: number
  readonly maxBlockIntervalMs: number
  /** Length of an earnings epoch in seconds. */
  readonly epochSec: number
  /** Seconds after an epoch's end before its earnings may be claimed: the dispute window. */
  readonly vestingSec: number
  /** Seconds between asking for the prepaid balance back and getting it. */
  readonly prepaidDelaySec: number
  /** Seconds between a worker's unbonding and its stake being free: longer than any credit of before can be disputed. */
  readonly unbondingSec: number
  /** Seconds after which an uploader may take back an upload that nobody reviewed, and its bond. */
  readonly reviewDelaySec: number
  /** Smallest stake of a worker. */
  readonly workerStakeMinWei: bigint
  /** Part of every inference fee that goes to the treasury, in basis points. */
  readonly protocolBps: number
  /** What a challenger puts at stake with a dispute: it is lost if the dispute fails. */
  readonly disputeBondWei: bigint
  /** Part of a worker's stake that each offence costs, in basis points. */
  readonly slashEquivocationBps: number
  readonly slashBadLeafBps: number
  readonly slashWrongSumBps: number
  readonly slashAttributionBps: number
  /** Part of what a worker loses that goes to the challenger, in basis points; the rest goes to the treasury. */
  readonly challengerBps: number
  /**
   * Wei that may come out of the EVM into the ledger in an hour of L1's time, net of what goes in. Chosen for good: a vote is a call of the EVM, and this
   * is to hold whatever the validators say of the EVM. Spec: docs/spec/ledger.md#evm-exits
   */
  readonly evmExitWeiPerHour: bigint
  /** L1 blocks that an L2 block's origin stays behind the L1 head, so that a shallow reorg does not reach us. */
  readonly originLagBlocks: number
  /** Blocks of an epoch of validators: block n belongs to epoch ⌊(n − 1) / epochBlocks⌋. 0: the genesis file's validators stay. */
  readonly epochBlocks: number
  /** When which rules are in force. A member of its own in the genesis file. */
  readonly forks: readonly Fork[]
}

/** Gas of native transactions: a pure function of their content. docs/spec/transactions.md#gas */
export const NATIVE_GAS = {
  base: 9_000n,
  perRowByte: 16n,
  perContributor: 1_500n,
  perDatanet: 1_500n,
  /** A credit looks back over up to 512 retires of its model's datanets, of which its content says nothing. */
  credit: 8_000n,
  perDraw: 6_000n,
  perEntry: 400n,
  perEpoch: 800n,
  /** A dispute reads up to 64 uploads twice and recovers up to four signatures. */
  dispute: 400_000n,
  perDrawn: 4_000n,
  perEvidenceByte: 8n,
} as const

/**
 * Gas of deposits that one block takes, each counted with at least the second number: what the portal lets into one L1 block. So an L2 block can take an L1
 * block's deposits whole, and what they do through the doors leaves room in a batch. contracts/Portal.sol has the same two numbers.
 */
export const DEPOSIT_GAS_PER_BLOCK_MAX = 8_000_000n
export const DEPOSIT_GAS_COUNTED_MIN = 50_000n

/** Length of evidence against a validator. docs/spec/consensus.md#evidence */
export const EVIDENCE_BYTES = 285

/**
 * Reports of evidence that one block may hold, and the gas of each: two BLS signatures are verified for it, before anything else of the block's own.
 * test/bench/gasCosts.json has what that costs. docs/spec/consensus.md#in-blocks
 */
export const REPORTS_PER_BLOCK_MAX = 4
export const REPORT_GAS = 150_000n

/**
 * Epochs after its own in which evidence may still be told in a block. A validator that left is free of its stake later than that: unbonding is longer than
 * L1's age of evidence and an epoch together. docs/spec/consensus.md#in-blocks
 */
export const EVIDENCE_EPOCHS_MAX = 2

/** Bounds of native fields, in bytes or items. docs/spec/transactions.md */
export const LIMIT = {
  nameBytes: 64,
  endpointBytes: 128,
  contentIdBytes: 64,
  contributors: 4,
  datanetsPerModel: 16,
  drawsPerCredit: 20,
  /** Of a credit without draws; each of those takes the place of `entriesPerDraw`. */
  entriesPerCredit: 208,
  entriesPerDraw: 10,
  epochsPerClaim: 128,
  receiptsPerCredit: 4_096,
  /** Retires of a model's datanets together that one credit looks back over; more, and the model must be registered anew. */
  retiresPerCheck: 32,
  /** Bytes of one serialized transaction of any kind. Source: the usual mempool bound (geth txMaxSize). */
  txBytes: 131_072,
} as const

/**
 * What the rows between two ledger roots of a batch may be, so that each such group can be executed on L1 by one transaction. Spec:
 * docs/spec/batch.md#groups; what fits in ledgers of what size: docs/spec/fraud.md#bounds
 */
export const GROUP = {
  rows: 16,
  bytes: 8_192,
  weight: 9_000,
  /** Two for each byte, as many for each record; and what a row takes whatever it is. */
  weightPerByte: 2,
  weightPerRecord: 36,
  /** Records that the row of a deposit, and that of a report, counts as: for the deposit's data, and for two records of all validators. */
  depositRecords: 16,
  reportRecords: 30,
} as const

/** Most validators of a set: a bitmap of signers is at most 16 bytes. */
export const VALIDATORS_MAX = 128

/** Highest tier of a receipt that exists. docs/spec/receipts.md#verifiers */
export const RECEIPT_TIER_MAX = 3

/** All shares are in basis points. */
export const BPS = 10_000

/** What one credited amount counts: entries of a credit are in gwei of OPEN. */
export const ENTRY_WEI = 10n ** 9n
