/**
 * The ABIs of the doors and verifiers, for viem, ethers, Solidity and explorers: operations, views, events, errors.
 * The operations are the fields of the native types and the views' structs are the ledger's records, member by member; they are written
 * out, so that TypeScript knows them and a browser loads nothing else, and test/precompiles/doorAbi.test.ts holds them against their sources.
 * Spec: docs/spec/transactions.md#doors, #logs; docs/spec/receipts.md#verifiers
 */
import { parseAbi } from 'viem'

/**
 * How a door refuses a call: the name of the broken rule in ASCII, zeros behind. It stands last in each ABI, behind the event of the same
 * name, because viem takes the first of a name where it seeks an event and the last where it seeks an error.
 */
export const FAILED_ERROR = { type: 'error', name: 'Failed', inputs: [{ name: 'code', type: 'bytes32' }] } as const

/** LEDGER, 0x…0a00. */
export const ledgerDoorAbi = [
  ...parseAbi([
    'function transfer(uint8 kind, address to, uint96 amount) payable',
    'function accountOf(address account) view returns (uint32 index, uint96 balance, uint96 prepaid, uint64 unlockAt, uint64 nonce)',
    'function supply() view returns (uint128 deposited, uint128 withdrawn, uint128 evmSupply)',
    'function l1Info() view returns (uint64 number, bytes32 hash, uint64 timestampSec, uint128 baseFee, uint128 blobBaseFee, bytes32 prevRandao, uint64 depositCursor)',
    'event Transferred(address indexed from, address indexed to, uint8 kind, uint96 amount)',
    'event Withdrawn(uint64 indexed index, address indexed from, address indexed to, uint96 amount)',
    'event Deposited(address indexed to, uint96 amount)',
    'event L1Info(uint64 indexed number, bytes32 hash)',
    'event Failed(bytes32 code)',
  ]),
  FAILED_ERROR,
] as const

/** DATANETS, 0x…0a01. */
export const datanetsDoorAbi = [
  ...parseAbi([
    'struct Contribution { address account; uint16 shareBps; uint8 role; }',
    'struct Contributor { uint32 account; uint16 shareBps; uint8 role; }',
    'struct Datanet { address owner; address curator; uint32 licence; uint8 joinPolicy; uint8 status; uint96 uploadBond; uint32 uploads; uint32 accepted; uint64 records; uint32 retires; bytes32 schemaHash; string name; }',
    'struct Upload { address uploader; bytes32 contentRoot; uint32 recordCount; uint64 byteCount; uint96 bond; uint8 status; uint16 qualityBps; uint64 atSec; bytes contentId; Contributor[] contributors; }',
    'struct Review { address reviewer; uint8 verdict; uint16 qualityBps; uint8 reason; uint64 atSec; }',
    'function create(string name, bytes32 schemaHash, uint32 licence, address curator, uint8 joinPolicy, uint96 uploadBond) returns (uint32 datanetId)',
    'function upload(uint32 datanetId, bytes32 contentRoot, bytes contentId, uint32 recordCount, uint64 byteCount, Contribution[] contributors) payable returns (uint32 uploadIndex)',
    'function review(uint32 datanetId, uint32 uploadIndex, uint8 verdict, uint16 qualityBps, uint8 reason)',
    'function getDatanet(uint32 datanetId) view returns (Datanet record)',
    'function getUpload(uint32 datanetId, uint32 uploadIndex) view returns (Upload record)',
    'function getReview(uint32 datanetId, uint32 uploadIndex) view returns (Review record)',
    'event DatanetCreated(uint32 indexed datanetId, address indexed owner, address indexed curator, uint32 licence, string name)',
    'event DatanetRetired(uint32 indexed datanetId, uint8 reason)',
    'event Uploaded(uint32 indexed datanetId, uint32 indexed uploadIndex, address indexed uploader, bytes32 contentRoot, bytes contentId, uint32 recordCount)',
    'event Reviewed(uint32 indexed datanetId, uint32 indexed uploadIndex, uint8 verdict, uint16 qualityBps, uint8 reason)',
    'event Failed(bytes32 code)',
  ]),
  FAILED_ERROR,
] as const

/** MODELS, 0x…0a02. */
export const modelsDoorAbi = [
  ...parseAbi([
    'struct DatanetUse { uint32 datanetId; bytes32 snapshotRoot; uint32 uploadCount; uint32 recordCount; uint16 weightBps; }',
    'struct DatanetSnapshot { uint32 datanetId; bytes32 snapshotRoot; uint32 uploadCount; uint32 recordCount; uint16 weightBps; uint32 retires; }',
    'struct Model { uint32 index; address owner; uint32 useFlags; bytes32 baseHash; bytes32 adapterHash; bytes32 tokenizerHash; bytes32 trainingConfigHash; bytes32 runtimeProfileHash; uint96 priceBase; uint96 pricePrompt; uint96 priceOutput; uint16 ownerBps; uint16 workerBps; uint16 contributorBps; uint96 minStake; uint8 maxTier; string name; DatanetSnapshot[] datanets; }',
    'function register(string name, bytes32 baseHash, bytes32 adapterHash, bytes32 tokenizerHash, bytes32 trainingConfigHash, bytes32 runtimeProfileHash, uint32 useFlags, DatanetUse[] datanets, uint96 priceBase, uint96 pricePrompt, uint96 priceOutput, uint16 ownerBps, uint16 workerBps, uint16 contributorBps, uint96 minStake, uint8 maxTier) returns (bytes32 modelId)',
    'function getModel(bytes32 modelId) view returns (Model record)',
    'event ModelRegistered(bytes32 indexed modelId, address indexed owner, uint32 useFlags, uint32[] datanetIds, string name)',
    'event Failed(bytes32 code)',
  ]),
  FAILED_ERROR,
] as const

/** WORKERS, 0x…0a03. */
export const workersDoorAbi = [
  ...parseAbi([
    'struct Worker { uint32 index; address hotKey; uint96 stake; uint96 unbonding; uint64 unlockAt; uint64 lastSeq; uint32 credits; uint64 liableUntil; bytes32 runtimeProfileHash; string endpoint; }',
    'function register(uint8 action, address hotKey, bytes32 runtimeProfileHash, uint96 stake, string endpoint) payable',
    'function getWorker(address account) view returns (Worker record)',
    'event WorkerRegistered(address indexed worker, address hotKey, uint96 stake, string endpoint)',
    'event WorkerUnbonding(address indexed worker, uint96 amount, uint64 unlockAt)',
    'event WorkerWithdrawn(address indexed worker, uint96 amount)',
    'event Failed(bytes32 code)',
  ]),
  FAILED_ERROR,
] as const

/** CREDITS, 0x…0a04. */
export const creditsDoorAbi = [
  ...parseAbi([
    'struct InferenceRequest { address client; address worker; bytes32 modelId; bytes32 promptCommit; bytes32 paramsHash; uint64 seed; uint32 maxOutputTokens; uint96 maxFee; uint96 cumulativeMaxFee; uint64 nonce; uint64 deadline; }',
    'struct Draw { InferenceRequest request; bytes signature; uint96 amount; }',
    'struct Drawn { address client; uint96 amount; }',
    'struct Dispute { address challenger; uint8 kind; uint96 slashed; uint96 toContributors; uint64 atSec; }',
    'struct Credit { bytes32 modelId; uint64 firstSeq; uint32 count; bytes32 receiptsRoot; bytes32 attributionRoot; uint64 promptTokens; uint64 outputTokens; uint96 fee; uint96 toContributors; uint32 epoch; uint64 atSec; bytes32 entriesHash; bytes32 drawsHash; address hotKey; uint16 protocolBps; }',
    'function credit(address worker, bytes32 modelId, uint64 firstSeq, uint32 count, bytes32 receiptsRoot, bytes32 attributionRoot, uint64 promptTokens, uint64 outputTokens, Draw[] draws, uint32[] accounts, uint48[] amountsGwei)',
    'function dispute(uint8 kind, address worker, uint32 creditIndex, Drawn[] drawn, uint32[] accounts, uint48[] amountsGwei, bytes evidence, bytes opened) payable',
    'function claim(uint32[] epochs)',
    'function getCredit(address worker, uint32 creditIndex) view returns (Credit record)',
    'function getDispute(address worker, uint32 creditIndex) view returns (Dispute record)',
    'function drawnOf(address client, address worker) view returns (uint96 drawn)',
    'function earningsOf(address account, uint32 epoch) view returns (uint96 amount)',
    'event Credited(address indexed worker, bytes32 indexed modelId, uint32 indexed creditIndex, uint64 firstSeq, uint32 count, uint96 fee, uint96 toContributors, bytes32 receiptsRoot)',
    'event Disputed(address indexed worker, uint32 indexed creditIndex, address indexed challenger, uint8 kind, uint8 upheld, bytes32 reason, uint96 slashed, uint96 reward)',
    'event Claimed(address indexed account, uint96 amount)',
    'event Failed(bytes32 code)',
  ]),
  FAILED_ERROR,
] as const

/** PARAMS, 0x…0a05. Names are ASCII with zeros behind. */
export const paramsDoorAbi = [
  ...parseAbi([
    'function setParam(bytes32 name, uint256 value)',
    'function getParam(bytes32 name) view returns (uint256 value)',
    'event ParamChanged(bytes32 indexed name, uint256 before, uint256 value, uint64 fromBlock)',
    'event Failed(bytes32 code)',
  ]),
  FAILED_ERROR,
] as const

/** GasPriceOracle, 0x42…0f: the functions of the OP Stack's that make sense here. Scalars are millionths. */
export const gasPriceOracleAbi = [
  ...parseAbi([
    'function getL1Fee(bytes data) view returns (uint256 fee)',
    'function getL1GasUsed(bytes data) view returns (uint256 gasUsed)',
    'function l1BaseFee() view returns (uint256 value)',
    'function blobBaseFee() view returns (uint256 value)',
    'function baseFeeScalar() view returns (uint256 value)',
    'function blobBaseFeeScalar() view returns (uint256 value)',
    'function baseFee() view returns (uint256 value)',
    'function gasPrice() view returns (uint256 value)',
    'function decimals() view returns (uint256 value)',
    'function isEcotone() view returns (bool value)',
    'function isFjord() view returns (bool value)',
  ]),
  FAILED_ERROR,
] as const

/** What the receipt verifier answers, in order of precedence: the first that applies. Source: docs/spec/receipts.md#verifiers */
export const RECEIPT_CODE = {
  malformed: 255,
  requestMismatch: 3,
  modelMismatch: 6,
  unknownModel: 5,
  expired: 4,
  wrongWorker: 8,
  workerNotActive: 7,
  insufficientStake: 9,
  tooManyTokens: 12,
  feeMismatch: 11,
  feeAboveMax: 10,
  replayed: 13,
  tierUnsupported: 16,
  badRequestSig: 1,
  badReceiptSig: 2,
  ok: 0,
} as const

/** One of them. */
export type ReceiptCode = (typeof RECEIPT_CODE)[keyof typeof RECEIPT_CODE]

/**
 * Receipt verifier, 0x…0a10. Besides the code it answers what the receipt claims (zeros for a malformed one): who relies on them reads
 * the code first.
 */
export const receiptVerifierAbi = [
  ...parseAbi([
    'function verify(bytes request, bytes requestSig, bytes receipt, bytes receiptSig) view returns (uint16 code, bytes32 receiptId, address worker, uint96 fee)',
  ]),
  FAILED_ERROR,
] as const

/** Inclusion verifier, 0x…0a11. */
export const inclusionVerifierAbi = [
  ...parseAbi([
    'function verifyInclusion(bytes32 root, uint32 index, uint32 count, bytes32 signedId, bytes32[] path) view returns (bool included)',
  ]),
  FAILED_ERROR,
] as const

/**
 * What the attestation verifier answers, in order of precedence: the first that applies. `nonceStale` is never its answer: it is kept for contracts that
 * compare `reportData` with a nonce of theirs. Source: docs/spec/receipts.md#attestation
 */
export const ATTESTATION_CODE = {
  malformed: 255,
  unknownKind: 54,
  quoteFormat: 48,
  collateralFormat: 55,
  collateralSig: 56,
  collateralStale: 57,
  certChain: 50,
  revoked: 52,
  quoteSig: 49,
  qeIdentity: 58,
  wrongCollateral: 59,
  moduleIdentity: 60,
  tdAttributes: 61,
  tcbOutOfDate: 51,
  nonceStale: 53,
  ok: 0,
} as const

/** One of them. */
export type AttestationCode = (typeof ATTESTATION_CODE)[keyof typeof ATTESTATION_CODE]

/** Attestation verifier, 0x…0a12. What it answers beside the code is zeros unless the code is `ok` or `tcbOutOfDate`. */
export const attestationVerifierAbi = [
  ...parseAbi([
    'function attest(uint8 kind, bytes evidence, bytes32 collateralId) view returns (uint16 code, bytes32 measurement, bytes32[2] reportData, uint64 validUntil)',
  ]),
  FAILED_ERROR,
] as const

/** P-384 verifier, 0x…0a16. Numbers are 48 bytes, big-endian; anything else is no signature. */
export const p384VerifierAbi = [
  ...parseAbi([
    'function p384verify(bytes hash, bytes r, bytes s, bytes x, bytes y) view returns (bool valid)',
    'function p384verifyMessage(bytes message, bytes r, bytes s, bytes x, bytes y) view returns (bool valid)',
  ]),
  FAILED_ERROR,
] as const

/** What the attribution verifiers answer. Source: docs/spec/attribution.md#verifiers */
export const ATTRIBUTION_CODE = { ok: 0, unknownModel: 5, badProof: 32, badOrder: 34, otherWords: 35, malformed: 255 } as const

/** Span verifier, 0x…0a13. */
export const spanVerifierAbi = [
  ...parseAbi([
    'function verifySpan(bytes32 snapshotRoot, bytes opening, uint16 offset, bytes words) view returns (uint16 code, uint32 uploadIndex, uint32 record, address contributor, uint16 qualityBps)',
  ]),
  FAILED_ERROR,
] as const

/** Longest-match verifier, 0x…0a14. */
export const longestVerifierAbi = [
  ...parseAbi([
    'function verifyLongest(bytes32 suffixRoot, bytes32 snapshotRoot, bytes proof, bytes words) view returns (uint16 code, uint32 length)',
  ]),
  FAILED_ERROR,
] as const

/** Shares verifier, 0x…0a15. */
export const sharesVerifierAbi = [
  ...parseAbi([
    'function attribute(bytes32 modelId, bytes record) view returns (uint16 code, uint16 matchedWords, uint32[] accounts, uint16[] sharesBps, uint16 poolBps)',
  ]),
  FAILED_ERROR,
] as const
