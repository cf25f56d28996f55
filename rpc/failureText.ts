/**
 * What went wrong, in a sentence for the person who sent the transaction. The names are the rules' of docs/spec/transactions.md#rules and the
 * pool's; a rule without a sentence here is shown by its name. Runs in browsers.
 */

const SENTENCES: Readonly<Record<string, string>> = {
  nonceTooLow: 'This transaction was already sent, or another one took its place. Ask for a fresh nonce and sign again.',
  nonceTooHigh: 'An earlier transaction of this account is missing. Send it first.',
  insufficientFunds:
    'The account cannot pay for this transaction. Native transactions are paid from the ledger balance: deposit or transfer some OPEN to it.',
  feeTooLow: 'The fee offered is below what the chain asks now. Sign again with a higher maximum fee.',
  alreadyKnown: 'This transaction is already waiting.',
  replacementUnderpriced: 'To replace a waiting transaction, offer at least a tenth more.',
  poolFull: 'The node has more waiting transactions than it can keep. Try again shortly.',
  senderFull: 'Too many transactions of this account wait already.',
  wrongChain: 'The transaction was signed for another chain.',
  badSignature: 'The signature does not belong to this transaction.',
  malformedTransaction: 'The bytes are not a transaction of this chain.',
  insufficientBalance: 'The ledger balance does not cover the amount.',
  insufficientPrepaid: 'The prepaid balance does not cover the amount.',
  notUnlocking: 'Ask for the prepaid balance back first, then wait out the delay.',
  stillLocked: 'The waiting time is not over yet.',
  wrongValue: 'The value sent with the call is not what the operation takes.',
  nativeOnly: 'This operation spends a ledger or prepaid balance: sign it as a native transaction.',
  badName: 'The name must have 1 to 64 bytes.',
  badLicence: 'The licence has bits that mean nothing.',
  badCurator: 'The curator must be an address.',
  badContentRoot: 'The content root is missing.',
  badContentId: 'The content id must have 1 to 64 bytes.',
  badRecordCount: 'An upload has at least one record.',
  badByteCount: 'An upload has at least one byte.',
  badContributors: 'One to four contributors, each with a role, whose shares add up to 10,000 basis points.',
  unknownDatanet: 'There is no such datanet.',
  datanetRetired: 'The datanet was retired.',
  notMember: 'Only the owner and the curator may upload to this datanet.',
  notCurator: 'Only the curator may review uploads of this datanet.',
  unknownUpload: 'There is no such upload.',
  notPending: 'The upload was already reviewed.',
  notAccepted: 'Only an accepted upload can be retired.',
  licenceExceeded: 'The model uses what the licence of one of its datanets does not grant.',
  licenceObligation: 'The model does not take over an obligation of one of its datanets.',
  modelExists: 'This model is registered already.',
  badShares: 'The shares of owner, worker and contributors must add up to 10,000 basis points.',
  badDatanets: 'The model’s list of datanets is not valid: each once, weights adding up to 10,000 basis points.',
  unknownModel: 'There is no such model.',
  modelSuspended: 'The model is suspended: a datanet or upload that it names was retired.',
  unknownWorker: 'There is no such worker.',
  notWorker: 'Only the worker or its hot key may credit its receipts.',
  workerNotActive: 'The worker’s stake is below the minimum.',
  stakeTooLow: 'The stake would be below the minimum.',
  insufficientStake: 'The stake does not cover this.',
  nothingUnbonding: 'No stake is unbonding.',
  sequenceReused: 'These receipts, or later ones, were credited already.',
  feeMismatch: 'What is drawn is not what the model’s prices make of the tokens.',
  voucherExceeded: 'A client has not signed for that much.',
  poolExceeded: 'The entries add up to more than the contributors’ part.',
  unknownAccount: 'An entry names an account index that was never given out.',
  notMatured: 'The earnings of an epoch are still vesting.',
  unknownCredit: 'There is no such credit.',
  alreadyUpheld: 'A dispute of this credit was upheld already.',
  otherEntries: 'The draws and entries are not those of the credit.',
  matured: 'The dispute window of this credit is over.',
  nothingToClaim: 'There is nothing to claim in these epochs.',
}

/** What a rejection or failure means, for people. */
export function failureText(code: string): string {
  return SENTENCES[code] ?? `The rule "${code}" was broken.`
}
