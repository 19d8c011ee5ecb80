export { type FakeModel, type FakeModelOptions, type RecordedRequest, startFakeModel } from './server.ts';
