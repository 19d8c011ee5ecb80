import { servicesSuite } from './services-suite.ts';

servicesSuite({ name: 'services on a real engine', ports: '19400-19449' });
